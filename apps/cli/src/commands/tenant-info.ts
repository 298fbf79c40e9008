import type { TenantSummary } from '@mvm/agentd-api';
import { parseTenantId } from '@mvm/protocol/names';
import { compareAddresses } from '../address/address.js';
import type { CommandModule } from '../command.js';
import type { CliContext } from '../context.js';
import { formatAgo } from '../format/age.js';
import { networkPolicyFields } from '../format/network-policy.js';
import { poolColumns } from '../format/pool-columns.js';
import { printObject } from '../format/print.js';
import { renderFields, renderTable } from '../format/table.js';
import { addHelp, completeWith } from '../help.js';

/** `mvm tenant info`. */
export const tenantInfo: CommandModule = {
  formats: ['table', 'json', 'yaml', 'name'],
  configure(command) {
    command.argument('<tenant>', 'the tenant');
    completeWith(command, 'tenant');
    addHelp(command, '', [
      ['mvm tenant info acme', 'Network, policy, quotas and pools'],
      ['mvm tenant info acme -o json | jq .quotas', 'One part, for scripts'],
    ]);
  },
  async run(context, invocation) {
    const tenantId = parseTenantId(invocation.operand(0));
    const agentd = await context.agentd();
    const tenant = await agentd.getTenant({ params: { tenant: tenantId } }, { signal: context.signal });
    await printObject(context, invocation, {
      kind: 'Tenant',
      value: tenant,
      name: tenant.tenant_id,
      text: () => describe(context, tenant),
    });
  },
};

function describe({ colours, nowMs }: CliContext, tenant: TenantSummary): string {
  const { net, quotas } = tenant;
  const pools = tenant.pools.toSorted(compareAddresses);
  return [
    renderFields([
      ['Tenant', tenant.tenant_id],
      [
        'Secrets',
        tenant.secrets_epoch === undefined
          ? undefined
          : `change ${tenant.secrets_epoch}, as noticed when instances start or wake`,
      ],
      ['Created', `${tenant.created_at} (${formatAgo(tenant.created_at, nowMs())})`],
    ]),
    `${colours.bold('Network')}\n${renderFields(
      [
        ['State', tenant.network_up ? colours.green('up') : colours.dim('down')],
        ['Subnet', `${net.ipv4_subnet} (net id ${net.tenant_net_id})`],
        ['Gateway', net.gateway_ip],
        ['Bridge', net.bridge_name],
      ],
      '  ',
    )}`,
    ...(tenant.policy === undefined
      ? []
      : [`${colours.bold('Network policy')}\n${renderFields(networkPolicyFields(tenant.policy), '  ')}`]),
    `${colours.bold('Quotas')}\n${renderFields(
      [
        ['vCPUs', String(quotas.max_vcpus)],
        ['Memory', `${quotas.max_mem_mib} MiB`],
        ['Running', String(quotas.max_running)],
        ['Warm', String(quotas.max_warm)],
        ['Pools', `${quotas.max_pools}, with at most ${quotas.max_instances_per_pool} instances each`],
        ['Disk', `${quotas.max_disk_gib} GiB`],
      ],
      '  ',
    )}`,
    pools.length === 0 ? 'No pools.\n' : renderTable(pools, poolColumns, false),
  ].join('\n');
}
