import type { AuditEntry } from '@mvm/audit-log';
import type { SpaceReserve } from '@mvm/node-host';
import {
  type CodedError,
  failurePrefix,
  METHODS,
  type MethodName,
  type PlannableRequest,
  type RequestOrigin,
  toCodedError,
  type V2Request,
  type V2Response,
} from '@mvm/protocol';
import { isValidId } from '@mvm/protocol/names';
import type { PeerCredentials } from '@mvm/unix-peer';
import type { Logger } from 'pino';
import type { Clock, OperationContext } from '../operations/operation-context.js';
import { withSpaceReserve } from '../state/atomic-file.js';
import type { AuditSink } from '../state/audit-log.js';
import { withFailurePrefix } from './failure-prefix.js';
import type { PlannableMethod, RequestHandler, RequestServices } from './handler.js';
import { originDetails } from './origin-details.js';
import { planRequest } from './plan-request.js';
import { requestTable } from './table.js';

export interface DispatchDeps {
  readonly services: RequestServices;
  readonly audit: AuditSink;
  readonly clock: Clock;
  readonly newOpId: () => string;
  readonly logger: Logger;
  readonly reserve: SpaceReserve;
}

/** What frees space or ends VMs: it works on a full disk too. */
const FREEING: ReadonlySet<string> = new Set<MethodName>([
  'StopInstance',
  'DestroyInstance',
  'TeardownNetwork',
]);

/** Answers a request, or throws a CodedError that is ready to be sent. */
export type Dispatch = (
  request: V2Request,
  peer: PeerCredentials,
  origin?: RequestOrigin,
) => Promise<V2Response>;

/** The ids that a request names, for logs and audit; null for one that is absent or not an id. */
function idsOf(request: V2Request): { tenant: string | null; pool: string | null; instance: string | null } {
  const fields = request as { tenant_id?: unknown; pool_id?: unknown; instance_id?: unknown };
  const id = (value: unknown): string | null =>
    typeof value === 'string' && isValidId(value) ? value : null;
  return { tenant: id(fields.tenant_id), pool: id(fields.pool_id), instance: id(fields.instance_id) };
}

function handlerOf(method: PlannableMethod): RequestHandler<PlannableMethod> {
  // The table binds each method to its own handler; the request's type selects the entry.
  return requestTable[method].handle as RequestHandler<PlannableMethod>;
}

/**
 * The way of every request: handler, log line, audit line, answer. An operation that changes something is in the
 * tenant's audit log, durably, before it is answered; when that cannot be written, the answer is an error that says so.
 */
export function createDispatch(deps: DispatchDeps): Dispatch {
  const { services, audit, clock } = deps;

  async function handleMutation(
    request: PlannableRequest,
    peer: PeerCredentials,
    origin: RequestOrigin | undefined,
  ): Promise<V2Response> {
    const { operation } = METHODS[request.type];
    const ids = idsOf(request);
    const opId = deps.newOpId();
    const logger = deps.logger.child({
      op: opId,
      operation,
      ...ids,
      uid: peer.uid,
      pid: peer.pid,
      ...Object.fromEntries(originDetails(origin)),
    });
    const auditDetails = new Map<string, string | number>(originDetails(origin));
    const context: OperationContext = { opId, peer, logger, auditDetails };
    const began = performance.now();
    let response: V2Response | null = null;
    let failure: CodedError | null = null;
    try {
      response = await handlerOf(request.type)(request as never, services, context);
    } catch (error) {
      failure = withFailurePrefix(toCodedError(error), failurePrefix(request.type));
    }
    services.changes.note();
    const ms = performance.now() - began;
    if (failure === null) logger.info({ ms }, 'operation done');
    else logger.warn({ ms, err: failure }, 'operation failed');
    if (ids.tenant !== null) {
      const instance = response?.type === 'Instance' ? response.instance_id : ids.instance;
      const line: AuditEntry = {
        at: clock.now(),
        op_id: opId,
        operation,
        tenant_id: ids.tenant,
        pool_id: ids.pool,
        instance_id: instance,
        peer: { pid: peer.pid, uid: peer.uid, gid: peer.gid },
        result: failure === null ? 'ok' : 'error',
        code: failure?.code ?? null,
        reason: failure?.reason ?? null,
        message: failure?.message.slice(0, 500) ?? null,
        duration_ms: Math.round(ms),
        ...(auditDetails.size === 0 ? {} : { details: Object.fromEntries(auditDetails) }),
      };
      try {
        await audit.append(line);
      } catch (error) {
        // Why the operation failed is what its caller has to know.
        if (failure === null) throw error;
        logger.error({ err: error }, 'a failed operation could not be written to the audit log');
      }
    }
    if (failure !== null) throw failure;
    if (response === null) throw new Error('a handler answered nothing');
    return response;
  }

  async function handleQuery(request: V2Request, peer: PeerCredentials): Promise<V2Response> {
    const context: OperationContext = { opId: '', peer, logger: deps.logger, auditDetails: new Map() };
    try {
      if (request.type === 'OpenStream') throw new Error('a stream is opened by its connection');
      if (request.type === 'PlanRequest')
        return { type: 'Plan', ...(await planRequest(request.request, services)) };
      return await handlerOf(request.type)(request as never, services, context);
    } catch (error) {
      const failure = toCodedError(error);
      const { type } = request;
      deps.logger.debug({ request: type, uid: peer.uid, err: failure }, 'request failed');
      throw failure;
    }
  }

  return (request, peer, origin) => {
    if (request.type === 'PlanRequest' || request.type === 'OpenStream' || !METHODS[request.type].mutates)
      return handleQuery(request, peer);
    return FREEING.has(request.type)
      ? withSpaceReserve(deps.reserve, () => handleMutation(request, peer, origin))
      : handleMutation(request, peer, origin);
  };
}
