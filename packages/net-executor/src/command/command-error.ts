import { CodedError, type ErrorCode } from '@mvm/protocol';
import type { CommandResult, Program } from './command-runner.js';

const PACKAGES: Readonly<Record<Program, string>> = {
  ip: 'iproute2',
  bridge: 'iproute2',
  nft: 'nftables',
  conntrack: 'conntrack',
};
const MAX_MESSAGE_LENGTH = 400;

interface Diagnosis {
  readonly code: ErrorCode;
  readonly reason: string;
  readonly hint: string;
}

function diagnose(program: Program, result: CommandResult): Diagnosis {
  if (result.failure === 'ENOENT') {
    return {
      code: 'failed_precondition',
      reason: 'net.tool_missing',
      hint: `Install the package ${PACKAGES[program]}.`,
    };
  }
  if (result.failure === 'EAGAIN' || result.failure === 'ENOMEM') {
    return {
      code: 'resource_exhausted',
      reason: 'host.no_processes',
      hint: 'Look at the limits of hostd (TasksMax of its unit, pids.max of its cgroup) and of the host, then repeat the request.',
    };
  }
  if (result.failure === 'timeout') {
    return { code: 'unavailable', reason: 'net.timeout', hint: 'The kernel is busy; try again.' };
  }
  if (/Operation not permitted|Permission denied/.test(result.stderr)) {
    return {
      code: 'permission_denied',
      reason: 'net.not_permitted',
      hint: 'Changing the network needs CAP_NET_ADMIN; run hostd as root.',
    };
  }
  if (/Device or resource busy/.test(result.stderr)) {
    return {
      code: 'failed_precondition',
      reason: 'net.busy',
      hint: 'Something else still uses the interface.',
    };
  }
  const works =
    program === 'conntrack'
      ? 'No guest gets a network until `conntrack -C` works for root; it is of the package conntrack.'
      : 'See the message; `mvm doctor` checks kernel and tools.';
  return { code: 'internal', reason: `net.${program}_failed`, hint: `Nothing was changed. ${works}` };
}

/** A program's failure as CodedError; `what` says what was being done, e.g. `loading the filter`. */
export function commandError(program: Program, what: string, result: CommandResult): CodedError {
  const said = result.stderr.trim().split('\n').slice(0, 4).join('; ').slice(0, MAX_MESSAGE_LENGTH);
  const ending = said === '' ? `ended with ${result.failure ?? result.exitCode ?? 'a signal'}` : said;
  return new CodedError({ ...diagnose(program, result), message: `${what}: ${program}: ${ending}` });
}
