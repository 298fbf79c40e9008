import { z } from 'zod';
import { instanceAddress, type MethodDefinition, page, reads } from './method-definition.js';

/** The methods of version 2 that change nothing, in the order of the JSON Schemas. */
export const QUERIES = {
  /** Answers a page, sorted by tenant and pool. */
  ListTenants: {
    since: 2,
    request: z.object({ ...page }),
    response: 'Tenants',
    object: 'host',
    operation: 'list_tenants',
    ...reads,
  },
  /** Answers a page, sorted by tenant, pool and instance. */
  ListInstances: {
    since: 2,
    request: z.object({ tenant_id: z.string().nullish(), pool_id: z.string().nullish(), ...page }),
    response: 'Instances',
    object: 'host',
    operation: 'list_instances',
    ...reads,
  },
  /** How busy the VMs that run or are warm have been. Answers a page, sorted by tenant, pool and instance. */
  ListActivity: {
    since: 2,
    request: z.object({ ...page }),
    response: 'Activity',
    object: 'host',
    operation: 'list_activity',
    ...reads,
  },
  DescribeInstance: {
    since: 2,
    request: z.object(instanceAddress),
    response: 'InstanceDetail',
    object: 'instance',
    operation: 'describe',
    ...reads,
  },
  /** Bytes of a log from `offset`, or the last `max_bytes` (at most 256 KiB, the default) when it is absent. */
  InstanceLogs: {
    since: 2,
    request: z.object({
      ...instanceAddress,
      stream: z.enum(['console', 'vmm']).nullish(),
      offset: z.int().min(0).nullish(),
      max_bytes: z.int().min(1).max(262_144).nullish(),
    }),
    response: 'Logs',
    object: 'instance',
    operation: 'logs',
    ...reads,
  },
  /** Entries of a tenant's audit log from `since` on (RFC 3339), oldest first; a removed tenant's too. */
  AuditLog: {
    since: 2,
    request: z.object({ tenant_id: z.string(), since: z.string().max(64).nullish(), ...page }),
    response: 'AuditEntries',
    object: 'tenant',
    operation: 'audit_log',
    ...reads,
  },
  /** Go through a tenant's audit log, or through all of them (at most 25 on a page). */
  VerifyAudit: {
    since: 2,
    request: z.object({ tenant_id: z.string().nullish(), ...page }),
    response: 'AuditReports',
    object: 'host',
    operation: 'verify_audit',
    ...reads,
  },
  /**
   * Answers once something may have changed on the host since `seen`, or after `timeout_secs` (0…60; absent: 30). It says
   * that there is something to look at, never what: whoever asks lists afterwards. The `cursor` of the answer is the next
   * `seen`; one of an earlier hostd, an unknown one, or none, is answered at once.
   */
  WaitForChange: {
    since: 2,
    request: z.object({
      seen: z.string().max(64).nullish(),
      timeout_secs: z.int().min(0).max(60).nullish(),
    }),
    response: 'Changes',
    object: 'host',
    operation: 'wait_for_change',
    ...reads,
  },
  HostInfo: {
    since: 2,
    request: null,
    response: 'Host',
    object: 'host',
    operation: 'host_info',
    ...reads,
  },
  /**
   * Compare the kernel's network with what is recorded, of one tenant or (absent or null) of the host. `deep` also sends
   * packets from a guest's place on that tenant's bridge; it needs a tenant.
   */
  VerifyNetwork: {
    since: 2,
    request: z.object({ tenant_id: z.string().nullish(), deep: z.boolean().nullish() }),
    response: 'NetworkReport',
    object: 'host',
    operation: 'verify_network',
    ...reads,
  },
  /**
   * What would be run to bring the network in line as of now, or with `from_scratch` on a host that has none of it.
   * Changes nothing.
   */
  PlanNetwork: {
    since: 2,
    request: z.object({ tenant_id: z.string().nullish(), from_scratch: z.boolean().nullish() }),
    response: 'NetworkPlan',
    object: 'host',
    operation: 'plan_network',
    ...reads,
  },
  /** Why packets were dropped, and how many. */
  NetworkDrops: {
    since: 2,
    request: null,
    response: 'NetworkDrops',
    object: 'host',
    operation: 'network_drops',
    ...reads,
  },
} as const satisfies Record<string, MethodDefinition>;
