import { CodedError, isCodedError } from '@mvm/errors';
import { z } from 'zod';
import { findProgramProblem, restartSchema } from '../guest-program.js';
import { isValidId } from '../names/ids.js';
import { cidrOverlaps, type Ipv4Cidr, parseIpv4Cidr } from '../names/ipv4.js';
import { deriveTenantNet } from '../names/tenant-net-check.js';
import { findNetworkPolicyProblems, networkPolicySchema, type PoolNetworkPolicy } from '../network-policy.js';
import {
  desiredCountsSchema,
  instanceResourcesSchema,
  poolSpecSchema,
  quotasSchema,
  runtimePolicySchema,
} from '../objects.js';
import { sleepPolicySchema } from '../sleep-policy.js';
import { poolFields, stateFields, tenantFields, writtenScopesSchema } from './coordinator-fields.js';

const idSchema = z.string().refine(isValidId, {
  error: 'expected 1 to 63 characters of a-z, 0-9 and "-", with no hyphen at either end',
});

/** A pool as a node is to have it: its id and its spec. Unknown fields are refused. */
export const desiredPoolSchema = poolSpecSchema
  .extend({
    instance_resources: instanceResourcesSchema.strict(),
    desired_counts: desiredCountsSchema.strict().default({ running: 0, warm: 0, sleeping: 0 }),
    runtime_policy: runtimePolicySchema.strict().prefault({}),
    pool_id: idSchema,
    /**
     * Destroy instances beyond the wanted counts, with their disks, once they are stopped for so long; absent: keep them,
     * until `mvm prune` or the counts need them.
     */
    destroy_stopped_after_seconds: z.int().min(0).max(31_536_000).optional(),
    /** Put idle instances to sleep, and wake them when they are needed; absent or null: never. agentd's matter alone. */
    sleep_policy: sleepPolicySchema.nullish(),
    secret_scopes: writtenScopesSchema,
    ...poolFields,
    /** Whether an instance whose guest has ended by itself is started again; absent: always. agentd's matter alone. */
    restart: restartSchema.optional(),
    /**
     * An instance whose guest's kernel has panicked: `restart` starts it again as `restart.policy` says of a failure, `stop`
     * leaves it stopped, to be looked at; absent: `restart`. agentd's matter alone.
     */
    on_panic: z.enum(['restart', 'stop']).optional(),
  })
  .strict();
export type DesiredPool = z.infer<typeof desiredPoolSchema>;

/** A tenant as a node is to have it. The gateway and the bridge's name follow from `network`. */
export const desiredTenantSchema = z.strictObject({
  tenant_id: idSchema,
  network: z.strictObject({
    tenant_net_id: z.int(),
    ipv4_subnet: z.string(),
    policy: networkPolicySchema.optional(),
  }),
  quotas: quotasSchema.strict(),
  /** Hash of the tenant's secrets, opaque; null when it has none. */
  secrets_hash: z.string().max(256).nullable().default(null),
  pools: z.array(desiredPoolSchema).max(1000),
  ...tenantFields,
});
export type DesiredTenant = z.infer<typeof desiredTenantSchema>;

type Report = (path: (string | number)[], message: string) => void;

function reportDuplicates(
  values: readonly (string | number)[],
  path: (index: number) => (string | number)[],
  report: Report,
): void {
  const seen = new Set<string | number>();
  values.forEach((value, index) => {
    if (seen.has(value)) report(path(index), `${JSON.stringify(value)} is given twice`);
    seen.add(value);
  });
}

function reportNetworks(tenants: readonly DesiredTenant[], report: Report): void {
  const subnets: { subnet: Ipv4Cidr; tenantId: string }[] = [];
  tenants.forEach((tenant, index) => {
    const { tenant_net_id: netId, ipv4_subnet: text } = tenant.network;
    try {
      deriveTenantNet(netId, text);
    } catch (error) {
      if (!isCodedError(error)) throw error;
      const field = error.reason === 'net.id_out_of_range' ? 'tenant_net_id' : 'ipv4_subnet';
      report(['tenants', index, 'network', field], error.message);
      return;
    }
    const subnet = parseIpv4Cidr(text);
    const other = subnets.find((entry) => cidrOverlaps(entry.subnet, subnet));
    if (other !== undefined) {
      report(
        ['tenants', index, 'network', 'ipv4_subnet'],
        `${text} overlaps the subnet of tenant ${other.tenantId}`,
      );
    }
    subnets.push({ subnet, tenantId: tenant.tenant_id });
  });
}

function reportPolicies(tenants: readonly DesiredTenant[], report: Report): void {
  const published = new Map<string, string>();
  tenants.forEach(({ tenant_id, network, pools }, t) => {
    const look = (policy: PoolNetworkPolicy, path: (string | number)[]): void => {
      for (const problem of findNetworkPolicyProblems(policy)) {
        report([...path, ...problem.path], problem.message);
      }
    };
    look(network.policy ?? {}, ['tenants', t, 'network', 'policy']);
    pools.forEach(({ pool_id, network_policy = {} }, p) => {
      const path = ['tenants', t, 'pools', p, 'network_policy'];
      look(network_policy, path);
      for (const [i, { protocol, host_port }] of (network_policy.publish ?? []).entries()) {
        const name = `${protocol} port ${host_port}`;
        const owner = `${tenant_id}/${pool_id}`;
        const other = published.get(name) ?? owner;
        if (other !== owner) report([...path, 'publish', i, 'host_port'], `${name} is published by ${other}`);
        published.set(name, owner);
      }
    });
  });
}

function reportPrograms(tenants: readonly DesiredTenant[], report: Report): void {
  tenants.forEach(({ pools }, t) => {
    pools.forEach((pool, p) => {
      const problem = findProgramProblem(pool);
      if (problem !== null) report(['tenants', t, 'pools', p], problem);
    });
  });
}

/**
 * Desired state of one node, schema version 1. Strict: unknown fields are refused at every level; ids follow the
 * grammar; tenant ids, net ids and the pool ids of a tenant are unique, and so are published ports; subnets are canonical
 * and do not overlap. That they lie inside the cluster's range is the host's check. Source: docs/protocol.md#desired-state.
 */
export const desiredStateSchema = z
  .strictObject({
    schema_version: z.literal(1, { error: 'this version of mvm knows schema version 1' }),
    node_id: z.string().min(1).max(253),
    prune_unknown_tenants: z.boolean().default(false),
    prune_unknown_pools: z.boolean().default(false),
    tenants: z.array(desiredTenantSchema).max(4096),
    ...stateFields,
  })
  .superRefine((state, context) => {
    const report: Report = (path, message) => context.addIssue({ code: 'custom', path, message });
    const { tenants } = state;
    reportDuplicates(
      tenants.map((tenant) => tenant.tenant_id),
      (i) => ['tenants', i, 'tenant_id'],
      report,
    );
    reportDuplicates(
      tenants.map((tenant) => tenant.network.tenant_net_id),
      (i) => ['tenants', i, 'network', 'tenant_net_id'],
      report,
    );
    tenants.forEach((tenant, t) => {
      const poolIds = tenant.pools.map((pool) => pool.pool_id);
      reportDuplicates(poolIds, (i) => ['tenants', t, 'pools', i, 'pool_id'], report);
    });
    reportNetworks(tenants, report);
    reportPolicies(tenants, report);
    reportPrograms(tenants, report);
  });
export type DesiredState = z.infer<typeof desiredStateSchema>;

function showPath(path: readonly PropertyKey[]): string {
  const shown = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('');
  return shown.replace(/^\./, '') || 'desired state';
}

/** Names of unknown fields come from the document: control characters out, and not too many of them. */
function printable(message: string): string {
  const cut = message.length > MAX_ISSUE_LENGTH ? `${message.slice(0, MAX_ISSUE_LENGTH)}…` : message;
  return cut.replace(/[\p{C}\u2028\u2029]/gu, '?');
}

const MAX_ISSUE_LENGTH = 256;
/** How many problems a message lists. */
const MAX_LISTED_ISSUES = 5;

/**
 * Parsed YAML or JSON as desired state, defaults filled in; `invalid_argument`, reason `desired_state.invalid`, whose
 * message lists the first problems with their paths (e.g. `tenants[0].pools[1].pool_id`).
 */
export function parseDesiredState(value: unknown): DesiredState {
  const parsed = desiredStateSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const { issues } = parsed.error;
  const listed = issues
    .slice(0, MAX_LISTED_ISSUES)
    .map((issue) => `${showPath(issue.path)}: ${printable(issue.message)}`);
  if (issues.length > MAX_LISTED_ISSUES) listed.push(`and ${issues.length - MAX_LISTED_ISSUES} more`);
  throw new CodedError({
    code: 'invalid_argument',
    reason: 'desired_state.invalid',
    message: `desired state is not valid: ${listed.join('; ')}`,
    details: { path: showPath(issues[0]?.path ?? []), problems: issues.length },
    hint: 'Correct the fields that are named and apply again; docs/protocol.md describes the format.',
  });
}
