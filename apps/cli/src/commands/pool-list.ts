import { parseTenantId } from '@mvm/protocol/names';
import { compareAddresses, formatAddress } from '../address/address.js';
import { refuseUnknown } from '../address/refuse-unknown.js';
import type { CommandModule } from '../command.js';
import { addListOptions } from '../format/list-options.js';
import { poolColumns } from '../format/pool-columns.js';
import { printList } from '../format/print.js';
import { addHelp, completeWith } from '../help.js';

/** `mvm pool list`. */
export const poolList: CommandModule = {
  formats: ['table', 'wide', 'json', 'yaml', 'name'],
  configure(command) {
    command.argument('[tenant]', 'only those of this tenant');
    addListOptions(command);
    completeWith(command, 'tenant');
    addHelp(command, 'RUNNING, WARM and SLEEPING show actual/desired. Sorted by tenant and pool.', [
      ['mvm pool list', 'All pools on this host'],
      ['mvm pool list acme -o wide', "One tenant's, with resources and image digests"],
    ]);
  },
  async run(context, invocation) {
    const tenant = invocation.optionalOperand(0);
    const agentd = await context.agentd();
    const query = tenant === undefined ? {} : { tenant: parseTenantId(tenant) };
    const { pools } = await agentd.listPools({ query }, { signal: context.signal });
    if (pools.length === 0) await refuseUnknown(context, { tenantId: tenant });
    await printList(context, invocation, {
      kind: 'Pool',
      items: pools.toSorted(compareAddresses),
      columns: poolColumns,
      name: formatAddress,
      empty: 'no pools; a desired state names them: mvm apply --help',
    });
  },
};
