import type { InstanceView } from '@mvm/protocol';
import { compareAddresses, formatAddress, parseScope } from '../address/address.js';
import { refuseUnknown } from '../address/refuse-unknown.js';
import type { CommandModule } from '../command.js';
import type { CliContext } from '../context.js';
import { formatAgeOf, formatAgo } from '../format/age.js';
import { addListOptions } from '../format/list-options.js';
import { printList } from '../format/print.js';
import { describeStatus, endedOnItsOwn, styleStatus } from '../format/status-style.js';
import type { Column } from '../format/table.js';
import { addHelp, completeWith } from '../help.js';
import { addWatchOption, showOrWatch } from '../watch/watch-option.js';

/** `mvm instance list`, also `mvm ps`. */
export const instanceList: CommandModule = {
  formats: ['table', 'wide', 'json', 'yaml', 'name'],
  configure(command) {
    command.argument('[scope]', 'only those of <tenant> or <tenant>/<pool>');
    addWatchOption(command);
    addListOptions(command);
    completeWith(command, 'scope');
    addHelp(
      command,
      'Sorted by tenant, pool and instance. STATUS names an operation under way in parentheses, and a wake that failed.\nWhy an instance ended, or cannot be woken, is in NOTE (-o wide).',
      [
        ['mvm instance list', 'Everything on this host'],
        ['mvm instance list acme --watch', "Follow what becomes of a tenant's instances"],
        ['mvm instance list acme/web -o wide', 'One pool, with image, network device and process'],
        ['mvm instance list -o json | jq \'.items[] | select(.status == "stopped")\'', 'For scripts'],
        ['mvm instance list acme/web -o name | xargs mvm instance stop', 'Stop a whole pool'],
      ],
    );
  },
  async run(context, invocation) {
    const { tenantId, poolId } = parseScope(invocation.optionalOperand(0));
    const agentd = await context.agentd();
    const query = { ...(tenantId && { tenant: tenantId }), ...(poolId && { pool: poolId }) };
    await showOrWatch(context, invocation, {
      kind: 'InstanceList',
      read: async () => {
        const { instances } = await agentd.listInstances({ query }, { signal: context.signal });
        if (instances.length === 0) await refuseUnknown(context, { tenantId, poolId });
        return instances.toSorted(compareAddresses);
      },
      document: (items) => ({ items }),
      print: (to, items) =>
        printList(to, invocation, {
          kind: 'Instance',
          items,
          columns: columnsFor(to),
          name: formatAddress,
          empty: 'no instances; the desired state says how many a pool has: mvm apply --help',
        }),
    });
  },
};

function columnsFor(context: CliContext): Column<InstanceView>[] {
  const now = context.nowMs();
  return [
    { header: 'INSTANCE', cell: formatAddress },
    {
      header: 'STATUS',
      cell: describeStatus,
      style: (text, instance) => styleStatus(context.colours, instance)(text),
    },
    { header: 'ADDRESS', cell: (instance) => instance.net?.guest_ip ?? '' },
    { header: 'VCPUS', cell: (instance) => String(instance.resources.vcpus), align: 'right', wide: true },
    { header: 'MEMORY', cell: (instance) => `${instance.resources.mem_mib}MiB`, align: 'right', wide: true },
    {
      header: 'UP',
      cell: (instance) => (instance.status === 'running' ? formatAgeOf(instance.last_started_at, now) : ''),
    },
    { header: 'AGE', cell: (instance) => formatAgeOf(instance.created_at, now) },
    { header: 'RESTARTS', cell: (instance) => String(instance.exit_count ?? 0), align: 'right' },
    { header: 'LAST-REASON', cell: (instance) => lastReason(instance, now) },
    { header: 'ROLE', cell: (instance) => instance.role, wide: true },
    { header: 'IMAGE', cell: (instance) => instance.image?.name ?? '', wide: true },
    { header: 'TAP', cell: (instance) => instance.net?.tap_dev ?? '', wide: true },
    { header: 'MAC', cell: (instance) => instance.net?.mac ?? '', wide: true },
    { header: 'PID', cell: (instance) => String(instance.pid ?? ''), align: 'right', wide: true },
    {
      header: 'NOTE',
      cell: (instance) => (endedOnItsOwn(instance) ? (instance.stop_reason?.message ?? '') : ''),
      wide: true,
    },
  ];
}

/** How the VM last ended without being asked to, and when. */
function lastReason({ last_exit: exit }: InstanceView, now: number): string {
  return exit == null ? '' : `${exit.message}, ${formatAgo(exit.at, now)}`;
}
