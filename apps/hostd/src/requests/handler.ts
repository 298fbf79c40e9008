import type { METHODS, MethodName, RequestOf, ResponseOf } from '@mvm/protocol';
import type { HostPorts } from '../execute/ports.js';
import type { NetworkProbes } from '../network-probe/network-probes.js';
import type { ChangeFeed } from '../operations/change-feed.js';
import type { PlannedOperation } from '../operations/dry-run.js';
import type { OperationContext } from '../operations/operation-context.js';
import type { OperationRunner } from '../operations/runner.js';
import type { AuditLog } from '../state/audit-log.js';
import type { HostFacts } from './host-info.js';

/** What request handlers work with; built once. */
export interface RequestServices {
  readonly ports: HostPorts;
  readonly runner: OperationRunner;
  readonly audit: AuditLog;
  readonly probes: NetworkProbes;
  readonly changes: ChangeFeed;
  readonly facts: HostFacts;
}

/** Every method but the one that asks about another, and the one that its connection serves. */
export type PlannableMethod = Exclude<MethodName, 'PlanRequest' | 'OpenStream'>;

/**
 * Answers one method. Ids are validated here, before anything else; errors are thrown as CodedError and become the
 * answer.
 */
export type RequestHandler<M extends PlannableMethod> = (
  request: RequestOf<M>,
  services: RequestServices,
  context: OperationContext,
) => Promise<ResponseOf<M>>;

/** What a request would do now: as its handler, up to the point where something would be changed, errors included. */
export type RequestPlanner<M extends PlannableMethod> = (
  request: RequestOf<M>,
  services: Pick<RequestServices, 'runner'>,
) => Promise<PlannedOperation>;

/** How a method is answered; one that changes something can be asked what it would do. */
export type RequestEntry<M extends PlannableMethod> = (typeof METHODS)[M]['mutates'] extends true
  ? { readonly handle: RequestHandler<M>; readonly plan: RequestPlanner<M> }
  : { readonly handle: RequestHandler<M> };
