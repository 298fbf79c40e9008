import type { Hold } from '@mvm/agentd-api';
import type { InstanceView } from '@mvm/protocol';
import type { DesiredState } from '@mvm/protocol/state';
import { compareAddresses, formatAddress, parseScope, type Scope } from '../address/address.js';
import { currentDesired } from '../apply/current-desired.js';
import type { CommandModule } from '../command.js';
import { INTERRUPTED_EXIT_CODE } from '../errors/exit-code.js';
import { ReportedFailure } from '../errors/reported-failure.js';
import { usageError } from '../errors/usage-error.js';
import { formatAgeOf } from '../format/age.js';
import { printList } from '../format/print.js';
import { addHelp, completeWith } from '../help.js';
import { addDryRunOption, isDryRun } from '../plan/dry-run-option.js';

/** `mvm prune`. */
export const prune: CommandModule = {
  formats: ['table', 'json', 'yaml', 'name'],
  configure(command) {
    command
      .argument('[scope]', 'only those of a <tenant> or a <tenant>/<pool>')
      .option('-y, --yes', 'do not ask')
      .option('--wipe-volumes', 'overwrite the data disks before they are deleted');
    addDryRunOption(command);
    completeWith(command, 'pool');
    addHelp(
      command,
      'Destroys stopped instances that no pool of the desired state needs, with their disks. Lists them and asks first.\nA pool keeps as many instances as the sum of its counts. Held instances, and instances of pools that the desired state\ndoes not name, stay. To let agentd do this, set destroy_stopped_after_seconds of a pool.',
      [
        ['mvm prune --dry-run', 'What would be destroyed?'],
        ['mvm prune acme --yes', "One tenant's, in a script"],
      ],
    );
  },
  async run(context, invocation) {
    const agentd = await context.agentd();
    const options = { signal: context.signal };
    const [{ desired }, { instances }, { holds }] = await Promise.all([
      currentDesired(context),
      agentd.listInstances({}, options),
      agentd.getStatus({}, options),
    ]);
    const items = leftovers(desired, instances, holds, parseScope(invocation.optionalOperand(0)));
    const now = context.nowMs();
    await printList(context, invocation, {
      kind: 'Instance',
      items,
      columns: [
        { header: 'INSTANCE', cell: formatAddress },
        { header: 'STOPPED', cell: (view) => formatAgeOf(view.last_stopped_at, now) },
        { header: 'DATA-DISK', cell: (view) => `${view.resources.data_disk_mib}MiB`, align: 'right' },
      ],
      name: formatAddress,
      empty: 'nothing to prune',
    });
    if (items.length === 0 || isDryRun(invocation)) return;
    if (!invocation.flag('yes')) {
      const answer = await context.ask(`Destroy these ${items.length}, with their disks? [y/N] `);
      if (answer === undefined) {
        throw usageError('there is no terminal to ask for confirmation', 'pass --yes, or --dry-run');
      }
      if (!/^y(es)?$/i.test(answer.trim())) {
        context.say('nothing was destroyed');
        throw new ReportedFailure(INTERRUPTED_EXIT_CODE);
      }
    }
    const query = { wipe_volumes: invocation.flag('wipeVolumes') };
    for (const { tenant_id, pool_id, instance_id } of items) {
      const params = { tenant: tenant_id, pool: pool_id, instance: instance_id };
      await agentd.destroyInstance({ params, query }, options);
    }
    context.say(`${items.length} destroyed`);
  },
};

/** What is stopped beyond each pool's counts, the ones that are stopped the longest, sorted by address. Pure. */
function leftovers(
  desired: DesiredState,
  instances: readonly InstanceView[],
  holds: readonly Pick<Hold, 'tenant_id' | 'pool_id' | 'instance_id'>[],
  { tenantId, poolId }: Scope,
): InstanceView[] {
  const held = new Set(holds.map(formatAddress));
  return desired.tenants
    .filter(({ tenant_id }) => (tenantId ?? tenant_id) === tenant_id)
    .flatMap(({ tenant_id, pools }) =>
      pools
        .filter(({ pool_id }) => (poolId ?? pool_id) === pool_id)
        .flatMap(({ pool_id, desired_counts: { running, warm, sleeping } }) => {
          const own = instances.filter((view) => view.tenant_id === tenant_id && view.pool_id === pool_id);
          const beyond = own.length - (running + warm + sleeping);
          return own
            .filter(({ status, operation }) => status === 'stopped' && operation === null)
            .filter((view) => !held.has(formatAddress(view)))
            .toSorted((a, b) => (a.last_stopped_at ?? '').localeCompare(b.last_stopped_at ?? ''))
            .slice(0, Math.max(0, beyond));
        }),
    )
    .toSorted(compareAddresses);
}
