import type { TenantSummary } from '@mvm/agentd-api';
import { compareAddresses } from '../address/address.js';
import type { CommandModule } from '../command.js';
import { formatAgeOf } from '../format/age.js';
import { addListOptions } from '../format/list-options.js';
import { printList } from '../format/print.js';
import type { Column } from '../format/table.js';
import { addHelp, completeWith } from '../help.js';

/** `mvm tenant list`. */
export const tenantList: CommandModule = {
  formats: ['table', 'wide', 'json', 'yaml', 'name'],
  configure(command) {
    addListOptions(command);
    completeWith(command);
    addHelp(command, 'Sorted by tenant.', [
      ['mvm tenant list', 'All tenants on this host'],
      ['mvm tenant list -o wide', 'With gateway, bridge and quotas'],
    ]);
  },
  async run(context, invocation) {
    const agentd = await context.agentd();
    const { tenants } = await agentd.listTenants({}, { signal: context.signal });
    const now = context.nowMs();
    const columns: Column<TenantSummary>[] = [
      { header: 'TENANT', cell: (tenant) => tenant.tenant_id },
      { header: 'SUBNET', cell: (tenant) => tenant.net.ipv4_subnet },
      { header: 'NETWORK', cell: (tenant) => (tenant.network_up ? 'up' : 'down') },
      { header: 'POOLS', cell: (tenant) => String(tenant.pools.length), align: 'right' },
      { header: 'RUNNING', cell: (tenant) => `${running(tenant)}/${total(tenant)}`, align: 'right' },
      { header: 'AGE', cell: (tenant) => formatAgeOf(tenant.created_at, now) },
      { header: 'NET-ID', cell: (tenant) => String(tenant.net.tenant_net_id), align: 'right', wide: true },
      { header: 'GATEWAY', cell: (tenant) => tenant.net.gateway_ip, wide: true },
      { header: 'BRIDGE', cell: (tenant) => tenant.net.bridge_name, wide: true },
      { header: 'MAX-VCPUS', cell: (tenant) => String(tenant.quotas.max_vcpus), align: 'right', wide: true },
      {
        header: 'MAX-MEMORY',
        cell: (tenant) => `${tenant.quotas.max_mem_mib}MiB`,
        align: 'right',
        wide: true,
      },
      {
        header: 'MAX-RUNNING',
        cell: (tenant) => String(tenant.quotas.max_running),
        align: 'right',
        wide: true,
      },
    ];
    await printList(context, invocation, {
      kind: 'Tenant',
      items: tenants.toSorted(compareAddresses),
      columns,
      name: (tenant) => tenant.tenant_id,
      empty: 'no tenants; a desired state names them: mvm apply --help',
    });
  },
};

function running(tenant: TenantSummary): number {
  return tenant.pools.reduce((sum, pool) => sum + pool.instances.running, 0);
}

function total(tenant: TenantSummary): number {
  return tenant.pools.reduce(
    (sum, pool) => sum + Object.values(pool.instances).reduce((a, b) => a + b, 0),
    0,
  );
}
