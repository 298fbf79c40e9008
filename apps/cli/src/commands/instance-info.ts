import { constants } from 'node:os';
import type { InstanceInfo } from '@mvm/agentd-api';
import type { GuestExit } from '@mvm/protocol';
import { formatAddress } from '../address/address.js';
import { resolveInstance } from '../address/resolve-instance.js';
import type { CommandModule } from '../command.js';
import type { CliContext } from '../context.js';
import { renderConsoleTail } from '../errors/render-error.js';
import { formatAgo } from '../format/age.js';
import { formatBytes } from '../format/bytes.js';
import { onOneLine } from '../format/control-characters.js';
import { formatDuration } from '../format/duration.js';
import { printObject } from '../format/print.js';
import { describeStatus, endedOnItsOwn, isSilent, styleStatus } from '../format/status-style.js';
import { renderFields } from '../format/table.js';
import { addHelp, completeWith } from '../help.js';

/** `mvm instance info`. */
export const instanceInfo: CommandModule = {
  formats: ['table', 'json', 'yaml', 'name'],
  configure(command) {
    command.argument('<instance>', 'address, <tenant>/<pool>/<instance>');
    completeWith(command, 'instance');
    addHelp(command, '', [
      ['mvm instance info acme/web/i-0a1b2c3d', 'State, network, process, limits, last console lines'],
      ['mvm instance info acme/web/i-0a1b2c3d -o json | jq -r .net.guest_ip', 'One field'],
    ]);
  },
  async run(context, invocation) {
    const { tenantId, poolId, instanceId } = await resolveInstance(context, invocation.operand(0));
    const agentd = await context.agentd();
    const params = { tenant: tenantId, pool: poolId, instance: instanceId };
    const instance = await agentd.getInstance({ params }, { signal: context.signal });
    await printObject(context, invocation, {
      kind: 'Instance',
      value: instance,
      name: formatAddress(instance),
      text: () => describe(context, instance),
    });
  },
};

function describe(context: CliContext, instance: InstanceInfo): string {
  const { colours } = context;
  const now = context.nowMs();
  const since = (time: string | null) => (time === null ? undefined : `${time} (${formatAgo(time, now)})`);
  const { net, image, resources, runtime, stop_reason: stopReason, hold } = instance;
  const sections = [
    renderFields([
      ['Instance', formatAddress(instance)],
      ['Status', styleStatus(colours, instance)(describeStatus(instance))],
      ['Problem', isSilent(instance) ? SILENT : undefined],
      ['Held', hold === null ? undefined : describeHold(hold, now)],
      [
        instance.status === 'sleeping' ? 'Problem' : 'Ended',
        stopReason === null ? undefined : onOneLine(`${stopReason.kind}: ${stopReason.message}`),
      ],
      ['Exit code', stopReason?.guest === undefined ? undefined : exitCode(stopReason.guest)],
      ['Role', instance.role],
      ['Image', image === null ? 'none registered' : `${image.name} (${image.digest.slice(0, 19)})`],
      [
        'Resources',
        `${resources.vcpus} ${resources.vcpus === 1 ? 'vCPU' : 'vCPUs'}, ${resources.mem_mib} MiB memory, ${dataDisk(resources.data_disk_mib)}`,
      ],
      [
        'Secrets',
        instance.secrets_epoch === undefined ? undefined : `as of change ${instance.secrets_epoch}`,
      ],
      ['Created', since(instance.created_at)],
      ['Started', since(instance.last_started_at)],
      ['Restarts', describeExits(instance, now)],
      // A start or a wake leaves the time of the end before it.
      [ENDED[instance.status] ?? 'Stopped', ended(instance) ? since(instance.last_stopped_at) : undefined],
      ['Warm', instance.status === 'warm' ? since(instance.status_since ?? null) : undefined],
    ]),
  ];
  if (net !== null) {
    sections.push(
      `${colours.bold('Network')}\n${renderFields(
        [
          ['Address', `${net.guest_ip} in ${net.cidr}`],
          ['Gateway', net.gateway_ip],
          ['Device', `${net.tap_dev} (${net.mac})`],
        ],
        '  ',
      )}`,
    );
  }
  if (runtime !== null) {
    sections.push(`${colours.bold('Process')}\n${describeRuntime(runtime, instance.agent_connected)}`);
  }
  const tail = instance.console_tail || (endedOnItsOwn(instance) ? (stopReason?.console_tail ?? '') : '');
  if (tail.trim() !== '') {
    sections.push(`${colours.bold('Console')}\n${renderConsoleTail(tail, colours).join('\n')}\n`);
  }
  return sections.join('\n');
}

const SILENT =
  'the guest has written nothing, sent nothing, and its agent does not answer: look at the console, and at KVM with mvm doctor';

/** Of the guest's main process: `137 (SIGKILL, out of memory)`. */
function exitCode({ reason, exit_code: code, signal }: GuestExit): string {
  const found = Object.entries(constants.signals).find(([, value]) => value === signal);
  const notes = [
    ...(signal === null ? [] : [found === undefined ? `signal ${signal}` : found[0]]),
    ...(reason === 'exited' || reason === 'signaled' ? [] : [reason.replaceAll('_', ' ')]),
  ];
  const text = code === null ? 'none' : String(code);
  return notes.length === 0 ? text : `${text} (${notes.join(', ')})`;
}

const ENDED: Readonly<Partial<Record<InstanceInfo['status'], string>>> = { sleeping: 'Asleep' };

function ended({ status }: InstanceInfo): boolean {
  return status === 'sleeping' || status === 'stopped';
}

const AGENT = { true: 'connected', false: 'not there: the guest has none, or is not up yet' } as const;

function describeRuntime(
  runtime: NonNullable<InstanceInfo['runtime']>,
  agentConnected: InstanceInfo['agent_connected'],
): string {
  const of = (current: string | undefined, max: string | undefined) =>
    current === undefined && max === undefined
      ? undefined
      : `${current ?? '?'} of at most ${max ?? 'no limit'}`;
  const bytes = (value: number | null) => (value === null ? undefined : formatBytes(value));
  const count = (value: number | null) => (value === null ? undefined : String(value));
  return renderFields(
    [
      ['VMM', onOneLine(`${runtime.vmm} ${runtime.vmm_version}, ${runtime.accelerator}`)],
      ['PID', `${runtime.pid} (uid ${runtime.uid}, gid ${runtime.gid})`],
      ['Memory', of(bytes(runtime.memory_current_bytes), bytes(runtime.memory_max_bytes))],
      ['CPU', runtime.cpu_max_percent === null ? undefined : `at most ${runtime.cpu_max_percent} %`],
      ['Tasks', of(count(runtime.pids_current), count(runtime.pids_max))],
      ['Agent', agentConnected == null ? undefined : AGENT[`${agentConnected}`]],
    ],
    '  ',
  );
}

/** `3, the last 5m ago: exit status 1`; absent when the VM never ended by itself. */
function describeExits(
  { exit_count: count, last_exit: last }: InstanceInfo,
  now: number,
): string | undefined {
  if (count === undefined || count === 0 || last == null) return undefined;
  return `${count}, the last ${formatAgo(last.at, now)}: ${onOneLine(last.message)}`;
}

const BY_HAND = {
  manual_stop: 'stopped',
  manual_sleep: 'put to sleep',
  manual_warm: 'warmed',
  manual_run: 'made to run',
} as const satisfies Record<NonNullable<InstanceInfo['hold']>['kind'], string>;

function describeHold(hold: NonNullable<InstanceInfo['hold']>, now: number): string {
  return `${BY_HAND[hold.kind]} manually, left alone for another ${formatDuration(Math.max(0, Date.parse(hold.until) - now))}`;
}

function dataDisk(mib: number): string {
  return mib === 0 ? 'no data disk' : `${mib} MiB data disk`;
}
