import type { CommandModule } from '../command.js';
import type { CliContext } from '../context.js';
import { accountChecks } from '../doctor/account-checks.js';
import {
  type Area,
  type Check,
  type CheckResult,
  type Finding,
  runChecks,
  skip,
  type Verdict,
} from '../doctor/check.js';
import { askDaemons, type DaemonFacts, daemonChecks } from '../doctor/daemon-checks.js';
import { firecrackerChecks } from '../doctor/firecracker-checks.js';
import { hostChecks } from '../doctor/host-checks.js';
import { createHostProbe, type HostProbe } from '../doctor/host-probe.js';
import { keyChecks } from '../doctor/key-checks.js';
import { networkChecks, type TenantRanges } from '../doctor/network-checks.js';
import { inNetworkOf } from '../doctor/network-probe.js';
import { securityChecks } from '../doctor/security-checks.js';
import { toolChecks } from '../doctor/tool-checks.js';
import { ReportedFailure } from '../errors/reported-failure.js';
import { stripControlCharacters } from '../format/control-characters.js';
import { renderDocument } from '../format/documents.js';
import { addHelp, completeWith } from '../help.js';
import { readOwnVersion } from '../own-version.js';
import { addStateDirOption, chosenStateDir } from './image-options.js';

/** As `failed_precondition`: the host is not ready. */
const NOT_READY_EXIT_CODE = 4;

const TITLES: Readonly<Record<Area, string>> = {
  host: 'Host',
  tools: 'Tools',
  accounts: 'Accounts',
  network: 'Network',
  daemons: 'Daemons',
  security: 'Security',
};

/** `mvm doctor`. */
export const doctor: CommandModule = {
  formats: ['table', 'json', 'yaml'],
  configure(command) {
    addStateDirOption(command);
    command.option(
      '--security',
      'also check what makes the host safe for tenants who do not trust each other',
    );
    completeWith(command);
    addHelp(
      command,
      'Checks everything that mvm needs and changes nothing. Exit code 4 when a check failed; warnings do not count.',
      [
        ['mvm doctor', 'Before the first start, or when something is wrong'],
        ['sudo mvm doctor', 'As root, with more checks'],
        ['sudo mvm doctor --security', 'Swap, KSM, SMT, microcode, core files, directories, user ids'],
        ['mvm doctor -o json | jq -r \'.checks[] | select(.verdict == "fail") | .fix\'', 'Only the fixes'],
      ],
    );
  },
  async run(context, invocation) {
    const { socketPath } = context;
    const ownVersion = readOwnVersion();
    const probe = createHostProbe(context.env);
    const agentd = await context.agentd();
    const daemons = await askDaemons(agentd, { socketPath, ownVersion }, context.signal);
    const network = await networkProbe(probe, daemons);
    const ofHost = [
      ...hostChecks(chosenStateDir(context, invocation)),
      ...toolChecks,
      ...firecrackerChecks,
      ...accountChecks,
      ...keyChecks,
      ...networkChecks(rangesOf(daemons)),
    ];
    const host = await runChecks(
      ofHost.map((check) => (isOfNetwork(check) && network === null ? { ...check, run: notSeen } : check)),
      probe,
      (check) => (isOfNetwork(check) ? (network ?? probe) : probe),
    );
    context.signal.throwIfAborted();
    const security = invocation.flag('security') ? await runChecks(securityChecks, probe) : [];
    const checks = [...host, ...(await runChecks(daemonChecks, daemons)), ...security];
    const counts = count(checks);
    if (invocation.format === 'json' || invocation.format === 'yaml') {
      context.stdout.write(
        await renderDocument('Diagnosis', { healthy: counts.fail === 0, checks }, invocation.format),
      );
    } else {
      context.stdout.write(render(context, checks));
      context.say(`\n${counts.ok} ok, ${counts.warn} to look at, ${counts.fail} failed`);
    }
    if (counts.fail > 0) throw new ReportedFailure(NOT_READY_EXIT_CODE);
  },
};

/** Checks that depend on the network in which they look. */
function isOfNetwork({ area, name }: Check<HostProbe>): boolean {
  return area === 'network' || name === 'forwarding' || name === 'uplink';
}

/** What looks where hostd works; null when that is another network, and this process may not enter it. */
async function networkProbe(probe: HostProbe, { host }: DaemonFacts): Promise<HostProbe | null> {
  return host === undefined || host instanceof Error ? probe : inNetworkOf(probe, host);
}

async function notSeen(): Promise<Finding> {
  return skip(
    'hostd is in another network namespace than this process; "sudo mvm doctor" on its host looks there',
  );
}

/** As hostd says; empty when it does not answer. */
function rangesOf({ host }: DaemonFacts): TenantRanges {
  return host === undefined || host instanceof Error ? {} : host;
}

function render({ colours }: CliContext, checks: readonly CheckResult[]): string {
  const mark: Readonly<Record<Verdict, string>> = {
    ok: colours.green('ok  '),
    warn: colours.yellow('warn'),
    fail: colours.red('fail'),
    skip: colours.dim('skip'),
  };
  const width = Math.max(...checks.map(({ check }) => check.length));
  const lines: string[] = [];
  let area: Area | undefined;
  for (const { check, area: itsArea, verdict, detail, fix } of checks) {
    if (itsArea !== area) lines.push(...(area === undefined ? [] : ['']), colours.bold(TITLES[itsArea]));
    area = itsArea;
    const indent = ' '.repeat(width + 10);
    const text = (each: string) => stripControlCharacters(each).trim().replace(/\n/g, `\n${indent}`);
    lines.push(`  ${mark[verdict]}  ${check.padEnd(width)}  ${text(detail)}`);
    if (fix !== undefined && verdict !== 'ok') lines.push(`${indent}${colours.cyan('fix:')} ${text(fix)}`);
  }
  return `${lines.join('\n')}\n`;
}

function count(checks: readonly CheckResult[]): Record<Verdict, number> {
  const counts = { ok: 0, warn: 0, fail: 0, skip: 0 };
  for (const { verdict } of checks) counts[verdict] += 1;
  return counts;
}
