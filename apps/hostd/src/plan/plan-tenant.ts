import { policiesOf } from '@mvm/net-executor';
import { checkSubnetFree, type HostNetwork } from '@mvm/net-executor/observe';
import { CodedError, type NetworkPolicy, type Quotas, type TenantNet } from '@mvm/protocol';
import { checkTenantNet, cidrOverlaps, parseIpv4Cidr } from '@mvm/protocol/names';
import { checkNetworkPolicy } from '@mvm/protocol/state';
import type { Step, StepPlan } from '../execute/step.js';
import type { PoolRecord, TenantRecord } from '../state/records.js';
import { plainNet } from './port.js';
import { samePolicies } from './same-policies.js';

/**
 * Quotas of a tenant that a version 1 client brought in by SetupNetwork, which cannot name any. Source: docs/state.md.
 */
export const DEFAULT_QUOTAS: Quotas = {
  max_vcpus: 64,
  max_mem_mib: 131_072,
  max_running: 64,
  max_warm: 64,
  max_pools: 32,
  max_instances_per_pool: 100,
  max_disk_gib: 1024,
};

/** Days for which the peer keeps a new tenant's audit log. */
const AUDIT_RETENTION_DAYS = 90;

/** What a tenant has besides its network. */
export interface TenantSettings {
  readonly quotas: Quotas;
  /** What its guests may do on the network; undefined: as by default. */
  readonly policy: NetworkPolicy | undefined;
}

export interface TenantNetworkInput {
  readonly tenantId: string;
  readonly net: TenantNet;
  /** Null: keep what is recorded, or the defaults for a new tenant. */
  readonly settings: TenantSettings | null;
  /** The tenant's pools as recorded. */
  readonly pools: readonly Pick<PoolRecord, 'pool_id' | 'network_policy'>[];
  readonly known: TenantRecord | undefined;
  readonly others: ReadonlyMap<string, TenantNet>;
  readonly instanceCount: number;
  readonly clusterCidr: string;
  /** What this host has of networks beside its tenants'. */
  readonly hostNetworks: readonly HostNetwork[];
}

/** Whether two networks are the same one. */
function sameNet(a: TenantNet, b: TenantNet): boolean {
  return JSON.stringify(plainNet(a)) === JSON.stringify(plainNet(b));
}

function checkClash({ tenantId, net, others }: TenantNetworkInput): void {
  const subnet = parseIpv4Cidr(net.ipv4_subnet);
  for (const [otherId, other] of others) {
    const what =
      other.tenant_net_id === net.tenant_net_id
        ? `network id ${net.tenant_net_id}`
        : cidrOverlaps(subnet, parseIpv4Cidr(other.ipv4_subnet))
          ? `subnet ${other.ipv4_subnet}`
          : null;
    if (what === null) continue;
    throw new CodedError({
      code: 'already_exists',
      reason: 'tenant.net_clash',
      message: `the network of tenant ${tenantId} clashes with tenant ${otherId}, which has ${what}`,
      hint: 'Choose a tenant_net_id and a subnet that no other tenant of this host has.',
      details: { tenant: tenantId, other: otherId },
    });
  }
}

function newTenant(input: TenantNetworkInput, now: string): TenantRecord {
  return {
    tenant_id: input.tenantId,
    quotas: input.settings?.quotas ?? DEFAULT_QUOTAS,
    net: plainNet(input.net),
    ...(input.settings?.policy === undefined ? {} : { policy: input.settings.policy }),
    secrets_epoch: 0,
    config_version: 1,
    pinned: false,
    audit_retention_days: AUDIT_RETENTION_DAYS,
    created_at: now,
    network_up: true,
  };
}

/**
 * Steps that record a tenant and bring its network up. Pure. Repeating changes nothing but what has drifted in the
 * kernel. Throws the `net.*` reasons of `checkTenantNet` and `checkNetworkPolicy`, `tenant.net_clash`, `net.subnet_in_use`, and `tenant.net_in_use` when the network
 * of a tenant with instances would change.
 */
export function planTenantNetwork(input: TenantNetworkInput, context: { readonly now: string }): StepPlan {
  checkTenantNet(input.net, input.clusterCidr);
  if (input.settings?.policy !== undefined) checkNetworkPolicy(input.settings.policy);
  checkClash(input);
  const net = plainNet(input.net);
  // One that stands is not refused for what came to the host later: verify names that.
  const stands =
    input.known !== undefined && input.known.network_up !== false && sameNet(input.known.net, net);
  if (!stands) checkSubnetFree(net.ipv4_subnet, input.clusterCidr, input.hostNetworks);
  const operation = input.settings === null ? 'setup_network' : 'ensure_tenant';
  const { known, pools, settings } = input;
  if (known === undefined) {
    const record = newTenant(input, context.now);
    const steps: Step[] = [
      { kind: 'tenant.save', record, before: null },
      { kind: 'network.ensure', net, policies: policiesOf(record, pools), before: null },
    ];
    return { operation, onFailure: 'undo', steps };
  }
  const changed = !sameNet(known.net, net);
  if (changed && input.instanceCount > 0) {
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'tenant.net_in_use',
      message: `tenant ${input.tenantId} has ${input.instanceCount} instances on ${known.net.ipv4_subnet}; its network cannot become ${net.ipv4_subnet}`,
      hint: 'Destroy the tenant’s instances first, or send the recorded network.',
      details: { tenant: input.tenantId, recorded: known.net.ipv4_subnet },
    });
  }
  const record: TenantRecord = {
    ...known,
    quotas: settings === null ? known.quotas : { ...known.quotas, ...settings.quotas },
    net: changed ? net : known.net,
    network_up: true,
    policy: settings === null ? known.policy : settings.policy,
  };
  const differs = JSON.stringify(record) !== JSON.stringify(known);
  const isUp = known.network_up !== false && !changed;
  const before = policiesOf(known, pools);
  const policies = policiesOf(record, pools);
  return {
    operation,
    // A network that is up already is only looked at again: a failure there must not take it down. Another policy of it
    // is applied or not, and recorded or not, together.
    onFailure: isUp && samePolicies(before, policies) ? 'finish' : 'undo',
    steps: [
      ...(differs ? [{ kind: 'tenant.save', record, before: known } as const] : []),
      ...(changed ? [{ kind: 'network.remove', net: plainNet(known.net), policies: before } as const] : []),
      { kind: 'network.ensure', net, policies, before: isUp ? before : null },
    ],
  };
}

export interface TeardownInput {
  readonly tenant: TenantRecord;
  /** What the caller says that the network is; null when it does not say. */
  readonly net: TenantNet | null;
  readonly runningCount: number;
  /** The tenant's pools as recorded. */
  readonly pools: readonly Pick<PoolRecord, 'pool_id' | 'network_policy'>[];
  readonly forget: boolean;
}

/**
 * Steps that take a tenant's network down, and with `forget` the tenant's record too. Pure. Repeating changes nothing.
 * Throws `tenant.net_mismatch` and `tenant.has_running_instances`.
 */
export function planTeardown(input: TeardownInput): StepPlan {
  const { tenant } = input;
  if (input.net !== null && !sameNet(input.net, tenant.net)) {
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'tenant.net_mismatch',
      message: `tenant ${tenant.tenant_id} has network id ${tenant.net.tenant_net_id} and ${tenant.net.ipv4_subnet}, not what the request names`,
      hint: 'Send the recorded network; mvm tenant info shows it.',
      details: { tenant: tenant.tenant_id, recorded: tenant.net.ipv4_subnet },
    });
  }
  if (input.runningCount > 0) {
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'tenant.has_running_instances',
      message: `${input.runningCount} instances of tenant ${tenant.tenant_id} run on its network`,
      hint: 'Stop them first.',
      details: { tenant: tenant.tenant_id, running: input.runningCount },
    });
  }
  const net = plainNet(tenant.net);
  const policies = policiesOf(tenant, input.pools);
  if (input.forget) {
    return {
      operation: 'remove_tenant',
      onFailure: 'undo',
      steps: [
        { kind: 'network.remove', net, policies },
        { kind: 'tenant.remove', tenantId: tenant.tenant_id },
      ],
    };
  }
  const down = { ...tenant, network_up: false };
  return {
    operation: 'teardown_network',
    onFailure: 'undo',
    steps: [
      ...(tenant.network_up === false
        ? []
        : [{ kind: 'tenant.save', record: down, before: tenant } as const]),
      { kind: 'network.remove', net, policies },
    ],
  };
}
