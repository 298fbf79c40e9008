import type { PlannableRequest, V2Response } from '@mvm/protocol';
import type { HostPorts } from '../execute/ports.js';
import type { NetworkProbes } from '../network-probe/network-probes.js';
import type { ChangeFeed } from '../operations/change-feed.js';
import type { InstanceOperations } from '../operations/instance-operations.js';
import type { InstancePlanner } from '../operations/instance-planner.js';
import type { OperationContext } from '../operations/operation-context.js';
import type { TenantOperations } from '../operations/tenant-operations.js';
import type { TenantPlanner } from '../operations/tenant-planner.js';
import type { AuditLog } from '../state/audit-log.js';
import type { HostFacts } from './host-info.js';

/** What request handlers work with; built once. */
export interface RequestServices {
  readonly ports: HostPorts;
  readonly instances: InstanceOperations;
  readonly tenants: TenantOperations;
  readonly audit: AuditLog;
  readonly planners: { readonly instances: InstancePlanner; readonly tenants: TenantPlanner };
  readonly probes: NetworkProbes;
  readonly changes: ChangeFeed;
  readonly facts: HostFacts;
}

/** Every type of request but the one that asks about another. */
export type RequestType = PlannableRequest['type'];
export type RequestOf<T extends RequestType> = Extract<PlannableRequest, { type: T }>;

/**
 * Answers one type of request. Ids are validated here, before anything else; errors are thrown as CodedError and become
 * the answer.
 */
export type RequestHandler<T extends RequestType> = (
  request: RequestOf<T>,
  services: RequestServices,
  context: OperationContext,
) => Promise<V2Response>;
