import type { PoolSummary } from '@mvm/agentd-api';
import { formatAddress, parsePoolAddress } from '../address/address.js';
import type { CommandModule } from '../command.js';
import type { CliContext } from '../context.js';
import { onOneLine } from '../format/control-characters.js';
import { networkPolicyFields } from '../format/network-policy.js';
import { printObject } from '../format/print.js';
import { renderFields, renderTable } from '../format/table.js';
import { addHelp, completeWith } from '../help.js';

/** `mvm pool info`. */
export const poolInfo: CommandModule = {
  formats: ['table', 'json', 'yaml', 'name'],
  configure(command) {
    command.argument('<pool>', 'address, <tenant>/<pool>');
    completeWith(command, 'pool');
    addHelp(command, '', [
      ['mvm pool info acme/web', 'Image, resources, counts and policies'],
      ['mvm pool info acme/web -o yaml', 'The same for machines'],
    ]);
  },
  async run(context, invocation) {
    const { tenantId, poolId } = parsePoolAddress(invocation.operand(0));
    const agentd = await context.agentd();
    const params = { tenant: tenantId, pool: poolId };
    const pool = await agentd.getPool({ params }, { signal: context.signal });
    await printObject(context, invocation, {
      kind: 'Pool',
      value: pool,
      name: formatAddress(pool),
      text: () => describe(context, pool),
    });
  },
};

function describe({ colours }: CliContext, pool: PoolSummary): string {
  const { image, instance_resources: resources, runtime_policy: policy } = pool;
  const counts = [
    { state: 'running', actual: pool.instances.running, desired: String(pool.desired_counts.running) },
    { state: 'warm', actual: pool.instances.warm, desired: String(pool.desired_counts.warm) },
    { state: 'sleeping', actual: pool.instances.sleeping, desired: String(pool.desired_counts.sleeping) },
    { state: 'stopped', actual: pool.instances.stopped, desired: '' },
    { state: 'ready', actual: pool.instances.ready + pool.instances.created, desired: '' },
  ];
  return [
    renderFields([
      ['Pool', formatAddress(pool)],
      ['Role', pool.role],
      ['Image', onOneLine(image === null ? `${pool.flake_ref}, not registered on this host` : image.name)],
      ['Digest', image?.digest],
      ['Profile', onOneLine(pool.profile)],
      ['vCPUs', String(resources.vcpus)],
      ['Memory', `${resources.mem_mib} MiB`],
      ['Data disk', resources.data_disk_mib === 0 ? 'none' : `${resources.data_disk_mib} MiB`],
      ['Seccomp', pool.seccomp_policy],
      ['Snapshots', pool.snapshot_compression === 'none' ? 'not compressed' : pool.snapshot_compression],
    ]),
    renderTable(
      counts,
      [
        { header: 'STATE', cell: (row) => row.state },
        { header: 'ACTUAL', cell: (row) => String(row.actual), align: 'right' },
        { header: 'DESIRED', cell: (row) => row.desired, align: 'right' },
      ],
      false,
    ),
    `${colours.bold('Policy')}\n${renderFields(
      [
        ['Runs at least', `${policy.min_running_seconds} s`],
        ['Warm at least', `${policy.min_warm_seconds} s`],
        ['Drain', `${policy.drain_timeout_seconds} s`],
        ['Shutdown', `${policy.graceful_shutdown_seconds} s`],
      ],
      '  ',
    )}`,
    ...programSection(pool, colours),
    ...(pool.network_policy === undefined
      ? []
      : [
          `${colours.bold('Network policy, in place of the tenant’s')}\n${renderFields(networkPolicyFields(pool.network_policy), '  ')}`,
        ]),
  ].join('\n');
}

/** What the pool says of its guests' program; nothing when it leaves that to the image. */
function programSection(
  { command, env, user, health }: PoolSummary,
  colours: CliContext['colours'],
): string[] {
  const list = (args: readonly string[], none: string): string =>
    args.length === 0 ? none : onOneLine(args.map((arg) => JSON.stringify(arg)).join(' '));
  const fields = renderFields(
    [
      ['Command', command === undefined ? undefined : list(command, 'none: the guest waits for mvm exec')],
      ['Environment', env === undefined ? undefined : onOneLine(Object.keys(env).join(', '))],
      ['User', user === undefined ? undefined : onOneLine(user)],
      ['Health check', health?.command === undefined ? undefined : list(health.command, 'none')],
      ['Unhealthy', health?.on_unhealthy],
    ],
    '  ',
  );
  return fields === '' ? [] : [`${colours.bold('Program, in place of the image’s')}\n${fields}`];
}
