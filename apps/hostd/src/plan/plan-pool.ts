import { policiesOf, type TenantPolicies } from '@mvm/net-executor';
import { CodedError, type PoolSpec } from '@mvm/protocol';
import { assertTransition, checkNetworkPolicy, findProgramProblem } from '@mvm/protocol/state';
import type { Step, StepPlan } from '../execute/step.js';
import type { ImageName } from '../state/launch.js';
import { addressOf, type PoolAddress } from '../state/layout.js';
import type { InstanceRecord, PoolRecord, TenantRecord } from '../state/records.js';
import { plainNet } from './port.js';
import { samePolicies } from './same-policies.js';

/** Ports, both included. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export interface PublishHost {
  readonly publishPorts: readonly PortRange[];
  /** Ports on which the host itself listens for others, as `tcp 22`. */
  readonly listening: ReadonlySet<string>;
}

/** A range as the configuration writes it: `8080` or `8000-8999`. */
export function parsePortRange(text: string): PortRange {
  const [first = Number.NaN, last = first] = text.split('-').map(Number);
  return { first, last };
}

export interface PoolInput {
  readonly tenant: TenantRecord;
  readonly pool: PoolAddress;
  readonly spec: PoolSpec;
  readonly known: PoolRecord | undefined;
  /** The tenant's pools as recorded, this one among them when it is known. */
  readonly pools: readonly PoolRecord[];
  /** Host ports that other pools of this host publish, as `tcp 8443`, and which pool that is. */
  readonly published: ReadonlyMap<string, string>;
  /** What this host allows, and has. */
  readonly host: PublishHost;
  /** What the spec's reference means on this host; null: nothing yet. */
  readonly image: ImageName | null;
}

/** Host ports that a pool publishes, as `tcp 8443`. */
export function publishedPorts({ network_policy }: Pick<PoolSpec, 'network_policy'>): string[] {
  return (network_policy?.publish ?? []).map(({ protocol, host_port }) => `${protocol} ${host_port}`);
}

function checkPublished(pool: PoolAddress, spec: PoolSpec, published: ReadonlyMap<string, string>): void {
  for (const port of publishedPorts(spec)) {
    const other = published.get(port);
    if (other === undefined) continue;
    throw new CodedError({
      code: 'already_exists',
      reason: 'net.port_taken',
      message: `pool ${pool.tenant_id}/${pool.pool_id} cannot publish ${port} of this host: pool ${other} does`,
      hint: 'Choose a host_port that no other pool of this host publishes.',
      details: { port, other },
    });
  }
}

/** What the pool publishes already stands, whatever the host listens on since, or allows since. */
function checkPublishable({ pool, spec, known, host }: PoolInput): void {
  const before = new Set(known === undefined ? [] : publishedPorts(known));
  for (const { protocol, host_port } of spec.network_policy?.publish ?? []) {
    const port = `${protocol} ${host_port}`;
    if (before.has(port)) continue;
    if (!host.publishPorts.some(({ first, last }) => first <= host_port && host_port <= last)) {
      throw new CodedError({
        code: 'permission_denied',
        reason: 'net.port_not_allowed',
        message: `pool ${pool.tenant_id}/${pool.pool_id} cannot publish ${port}: this host allows ${rangesText(host.publishPorts)}`,
        hint: 'Choose a host_port that is allowed, or let root allow it (publish_ports in hostd.toml), and restart hostd.',
        details: { port, allowed: rangesText(host.publishPorts) },
      });
    }
    if (host.listening.has(port)) {
      throw new CodedError({
        code: 'already_exists',
        reason: 'net.port_in_use',
        message: `pool ${pool.tenant_id}/${pool.pool_id} cannot publish ${port}: the host itself listens there`,
        hint: `Choose another host_port, or stop that service; "ss -lntup" names it.`,
        details: { port },
      });
    }
  }
}

function rangesText(ranges: readonly PortRange[]): string {
  const texts = ranges.map(({ first, last }) => (first === last ? String(first) : `${first}-${last}`));
  return texts.length === 0 ? 'none' : texts.join(', ');
}

/**
 * What is not enforced is not accepted: every VMM has QEMU's own filter, which is `baseline`. What a pool has already, from
 * an older hostd, stands.
 */
function checkSeccompPolicy({ pool, spec: { seccomp_policy }, known }: PoolInput): void {
  if (seccomp_policy === 'baseline' || seccomp_policy === known?.seccomp_policy) return;
  throw new CodedError({
    code: 'unimplemented',
    reason: 'pool.seccomp_not_enforced',
    message: `pool ${pool.tenant_id}/${pool.pool_id} asks for seccomp_policy ${seccomp_policy}, which this hostd does not enforce`,
    hint: 'Set seccomp_policy to baseline, or leave it out: what every VMM is confined to is in docs/security-model.md.',
    details: { seccomp_policy },
  });
}

function checkProgram(pool: PoolAddress, spec: PoolSpec): void {
  const problem = findProgramProblem(spec);
  if (problem === null) return;
  throw new CodedError({
    code: 'invalid_argument',
    reason: 'pool.invalid_program',
    message: `pool ${pool.tenant_id}/${pool.pool_id} cannot run this: ${problem}`,
    hint: 'Put long settings into a file of the image, or into a secret.',
  });
}

/** As the store has them. */
function inOrder(pools: readonly PoolRecord[]): PoolRecord[] {
  return pools.toSorted((a, b) => (a.pool_id < b.pool_id ? -1 : 1));
}

/** Applies other policies to a tenant's network that is up; nothing when they are the same, or it is down. */
function policyChange(tenant: TenantRecord, before: TenantPolicies, policies: TenantPolicies): Step[] {
  if (tenant.network_up === false || samePolicies(before, policies)) return [];
  return [{ kind: 'network.ensure', net: plainNet(tenant.net), policies, before }];
}

/**
 * Steps that record a pool, make its image ready to be booted, and apply its network policy. Pure. Repeating changes
 * nothing. Throws `quota.exceeded` for one pool too many, `pool.seccomp_not_enforced`, `pool.invalid_program`,
 * `net.invalid_policy`, `net.port_taken` for a host port that
 * another pool publishes, `net.port_not_allowed` and `net.port_in_use` for one that is not to be had.
 */
export function planPool(input: PoolInput): StepPlan {
  const { tenant, pool, spec, known, pools, published, image } = input;
  if (spec.network_policy !== undefined) checkNetworkPolicy(spec.network_policy);
  checkSeccompPolicy(input);
  checkProgram(pool, spec);
  checkPublished(pool, spec, published);
  checkPublishable(input);
  if (known === undefined && pools.length >= tenant.quotas.max_pools) {
    throw new CodedError({
      code: 'resource_exhausted',
      reason: 'quota.exceeded',
      message: `one more pool would exceed max_pools (${tenant.quotas.max_pools}) of tenant ${tenant.tenant_id}`,
      hint: 'Remove a pool, or raise the quota and apply it.',
      details: { tenant: tenant.tenant_id, quota: 'max_pools', limit: tenant.quotas.max_pools },
    });
  }
  const { tenant_id, pool_id } = pool;
  const added = { metadata_enabled: false, pinned: false, critical: false };
  const { network_policy, command, env, user, health } = spec;
  // Absent ones take away what was there.
  const optional = { network_policy, command, env, user, health };
  const record: PoolRecord = { ...(known ?? added), ...spec, ...optional, tenant_id, pool_id, image };
  const others = pools.filter((other) => other.pool_id !== pool_id);
  const differs = JSON.stringify(record) !== JSON.stringify(known);
  return {
    operation: 'ensure_pool',
    onFailure: 'undo',
    steps: [
      ...(differs ? [{ kind: 'pool.save', record, before: known ?? null } as const] : []),
      ...(image === null ? [] : [{ kind: 'image.activate', pool: { tenant_id, pool_id }, image } as const]),
      ...policyChange(tenant, policiesOf(tenant, pools), policiesOf(tenant, inOrder([...others, record]))),
    ],
  };
}

/** Steps by which an instance that was created before its pool had an image becomes ready. Pure. */
export function planPrepare(instance: InstanceRecord): StepPlan {
  assertTransition(instance.status, 'prepare');
  return {
    operation: 'prepare',
    onFailure: 'undo',
    steps: [{ kind: 'instance.prepare', address: addressOf(instance) }],
  };
}

/** Steps that forget a pool, and its policy. Pure. Throws `pool.has_instances`. */
export function planRemovePool(
  pool: PoolAddress,
  instanceCount: number,
  { tenant, pools }: Pick<PoolInput, 'tenant' | 'pools'>,
): StepPlan {
  const { tenant_id, pool_id } = pool;
  if (instanceCount > 0) {
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'pool.has_instances',
      message: `pool ${tenant_id}/${pool_id} has ${instanceCount} instances`,
      hint: 'Destroy its instances first.',
    });
  }
  return {
    operation: 'remove_pool',
    onFailure: 'undo',
    steps: [
      // First, because it can be reverted: a pool that is gone from the records cannot be asked for again.
      ...policyChange(
        tenant,
        policiesOf(tenant, pools),
        policiesOf(
          tenant,
          pools.filter((other) => other.pool_id !== pool_id),
        ),
      ),
      { kind: 'pool.remove', pool: { tenant_id, pool_id } },
    ],
  };
}
