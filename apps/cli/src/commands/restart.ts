import type { InstanceInfo } from '@mvm/agentd-api';
import { CodedError } from '@mvm/protocol';
import { Option } from 'commander';
import { formatAddress, type InstanceAddress, nameOf, parsePoolAddress } from '../address/address.js';
import { instancesOf, resolveInstances } from '../address/resolve-instance.js';
import type { CommandModule } from '../command.js';
import type { CliContext } from '../context.js';
import { formatDuration, parseDuration } from '../format/duration.js';
import { addHelp, completeWith } from '../help.js';
import { addDryRunOption, isDryRun } from '../plan/dry-run-option.js';
import { withProgress } from '../progress/with-progress.js';
import { addShutdownOptions, shutdownInput } from './shutdown-options.js';

const DEFAULT_TIMEOUT_MS = 120_000;
const POLL_MS = 500;

/** `mvm restart`. */
export const restart: CommandModule = {
  formats: ['table', 'name'],
  configure(command) {
    command.argument('<target...>', 'pools, <tenant>/<pool>, or instances');
    addShutdownOptions(command);
    command.addOption(
      new Option('--timeout <duration>', 'how long to wait for each guest to be up again')
        .argParser(parseDuration)
        .default(DEFAULT_TIMEOUT_MS, '2m'),
    );
    addDryRunOption(command);
    completeWith(command, 'scope');
    addHelp(
      command,
      'Restarts one instance after the other, each with its disks and its address, and with the current image and size of its\npool. It goes on when the guest is up: its agent, its console or its network was noticed. If one does not come up, the\nothers keep running as they are. Instances that do not run are left alone.',
      [
        ['mvm restart acme/web', 'Bring another image to a whole pool, one instance at a time'],
        ['mvm restart acme/web --dry-run', 'Which instances?'],
        ['mvm restart i-0a1b', 'One instance'],
      ],
    );
  },
  async run(context, invocation) {
    const instances = await targets(context, invocation.operands(0));
    if (isDryRun(invocation)) {
      for (const address of instances) context.stdout.write(`${nameOf(address)}\n`);
      context.say(`${instances.length} would be restarted, one after the other`);
      return;
    }
    const timeoutMs = invocation.number('timeout') ?? DEFAULT_TIMEOUT_MS;
    const { query = {}, extraMs = 0 } = shutdownInput(invocation);
    const agentd = await context.agentd();
    for (const [done, address] of instances.entries()) {
      const name = nameOf(address);
      const params = { tenant: address.tenantId, pool: address.poolId, instance: address.instanceId };
      const options = { signal: context.signal, timeoutMs: timeoutMs + extraMs };
      try {
        await withProgress(context, `restarting ${name} (${done + 1} of ${instances.length})`, async () => {
          await agentd.rebootInstance({ params, query }, options);
          await untilUp(context, address, timeoutMs);
        });
      } catch (error) {
        const left = instances.length - done - 1;
        if (left > 0) context.say(`${done} restarted; ${left} were not tried and run on`);
        throw error;
      }
      context.stdout.write(invocation.format === 'name' ? `${name}\n` : `${name} restarted\n`);
    }
    if (instances.length === 0) context.say('nothing runs that could be restarted');
  },
};

/** The running and warm instances of pools, and instances by name, each once. */
async function targets(context: CliContext, texts: readonly string[]): Promise<InstanceAddress[]> {
  const found = await Promise.all(
    texts.map((text) =>
      text.split('/').length === 2
        ? instancesOf(
            context,
            parsePoolAddress(text),
            ({ status }) => status === 'running' || status === 'warm',
          )
        : resolveInstances(context, [text]),
    ),
  );
  return [...new Map(found.flat().map((address) => [nameOf(address), address])).values()];
}

/** Waits until something was noticed of the guest. Throws `deadline_exceeded` and `failed_precondition`. */
async function untilUp(context: CliContext, address: InstanceAddress, timeoutMs: number): Promise<void> {
  const { tenantId, poolId, instanceId } = address;
  const params = { tenant: tenantId, pool: poolId, instance: instanceId };
  const agentd = await context.agentd();
  const end = context.monotonicMs() + timeoutMs;
  for (;;) {
    const instance = await agentd.getInstance({ params }, { signal: context.signal });
    if (isUp(instance)) return;
    if (instance.status !== 'running' && instance.operation === null) {
      throw new CodedError({
        code: 'failed_precondition',
        reason: 'restart.ended',
        message: `${formatAddress(instance)} is ${instance.status}: ${instance.stop_reason?.message ?? 'it does not run'}`,
        hint: `mvm logs ${formatAddress(instance)}`,
      });
    }
    if (context.monotonicMs() >= end) {
      throw new CodedError({
        code: 'deadline_exceeded',
        reason: 'restart.not_up',
        message: `nothing was noticed of the guest of ${formatAddress(instance)} within ${formatDuration(timeoutMs)}`,
        hint: `mvm logs ${formatAddress(instance)}; a guest without console, network and agent cannot be waited for`,
      });
    }
    await context.sleep(POLL_MS);
  }
}

function isUp({ status, operation, agent_connected, sign_of_life }: InstanceInfo): boolean {
  if (status !== 'running' || operation !== null) return false;
  return agent_connected === true || (sign_of_life !== undefined && sign_of_life !== 'none');
}
