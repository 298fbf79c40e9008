import { isFramingError } from '@mvm/framing';
import { CodedError, type CodedErrorInit } from '@mvm/protocol';

const RUNNING_HINT = 'is mvm-hostd running? try: systemctl status mvm-hostd, or mvm doctor';
const OUTCOME_HINT = 'it may have carried the request out or not: look at the state, then try again';

/**
 * A failure of the connection as an error about hostd: what happened, and what to do next. Anything else (a canceled
 * request, an error that hostd sent) is passed on as it is.
 */
export function hostdError(error: unknown, socketPath: string): unknown {
  if (!isFramingError(error)) return error;
  const details = { ...error.details, socket_path: socketPath };
  const init = (fields: Pick<CodedErrorInit, 'code' | 'reason' | 'message' | 'hint'>): CodedError =>
    new CodedError({ ...fields, details, cause: error });
  switch (error.reason) {
    case 'connection.refused':
      return init({
        code: 'unavailable',
        reason: 'hostd.unreachable',
        message: `cannot reach mvm-hostd: ${error.message}`,
        hint: RUNNING_HINT,
      });
    case 'connection.timeout':
      return init({
        code: 'unavailable',
        reason: 'hostd.unreachable',
        message: `mvm-hostd does not accept connections: ${error.message}`,
        hint: `mvm-hostd hangs or has too much to do; ${RUNNING_HINT}`,
      });
    case 'connection.denied':
      return init({
        code: 'permission_denied',
        reason: 'hostd.denied',
        message: `mvm-hostd may not be spoken to: ${error.message}`,
        hint: `run as root, or as a member of the group that owns ${socketPath}`,
      });
    case 'connection.closed':
    case 'connection.write_timeout':
    case 'frame.truncated':
    case 'frame.timeout':
      return disconnected(socketPath, error);
    default:
      return error;
  }
}

/** `unavailable`, reason `hostd.disconnected`: the connection ended before the answer. */
export function disconnected(socketPath: string, cause?: unknown): CodedError {
  const why = cause instanceof Error ? `: ${cause.message}` : '';
  return new CodedError({
    code: 'unavailable',
    reason: 'hostd.disconnected',
    message: `mvm-hostd closed the connection before it answered${why}`,
    hint: `${OUTCOME_HINT}; ${RUNNING_HINT}`,
    details: { socket_path: socketPath },
    cause,
  });
}

/** `unavailable`, reason `hostd.unreachable`: hostd accepted the connection and then said nothing. */
export function unresponsive(socketPath: string, timeoutMs: number): CodedError {
  return new CodedError({
    code: 'unavailable',
    reason: 'hostd.unreachable',
    message: `mvm-hostd on ${socketPath} did not greet within ${timeoutMs} ms`,
    hint: `mvm-hostd hangs or has too much to do; ${RUNNING_HINT}`,
    details: { socket_path: socketPath, connect_timeout_ms: timeoutMs },
  });
}

/** `protocol_mismatch`, reason `hostd.bad_answer`: what came is no answer that the contract allows. */
export function badAnswer(socketPath: string, what: string, cause?: unknown): CodedError {
  return new CodedError({
    code: 'protocol_mismatch',
    reason: 'hostd.bad_answer',
    message: `what listens on ${socketPath} does not answer as mvm-hostd does: ${what}`,
    hint: 'check the socket path, and that both sides have the same release: mvm version',
    details: { socket_path: socketPath },
    cause,
  });
}

/** `protocol_mismatch`, reason `hostd.version_too_old`: a request of version 2 for a hostd of version 1. */
export function versionTooOld(socketPath: string, requestType: string): CodedError {
  return new CodedError({
    code: 'protocol_mismatch',
    reason: 'hostd.version_too_old',
    message: `${requestType} needs version 2 of the protocol, and the mvm-hostd on ${socketPath} speaks version 1`,
    hint: 'install the same release of mvm-hostd as of this program, and restart it',
    details: { socket_path: socketPath, request: requestType },
  });
}

/** `deadline_exceeded`, reason `hostd.timeout`: no answer within the request's time. */
export function requestTimeout(socketPath: string, requestType: string, timeoutMs: number): CodedError {
  return new CodedError({
    code: 'deadline_exceeded',
    reason: 'hostd.timeout',
    message: `mvm-hostd did not answer ${requestType} within ${timeoutMs} ms`,
    hint: OUTCOME_HINT,
    details: { socket_path: socketPath, request: requestType, timeout_ms: timeoutMs },
  });
}

/** `canceled`, reason `hostd.canceled`: the caller's signal fired. */
export function requestCanceled(requestType: string, cause: unknown): CodedError {
  return new CodedError({
    code: 'canceled',
    reason: 'hostd.canceled',
    message: `${requestType} was canceled`,
    hint: 'mvm-hostd may still carry it out: look at the state',
    details: { request: requestType },
    cause,
  });
}

/** `canceled`, reason `hostd.client_closed`: the client was closed. */
export function clientClosed(): CodedError {
  return new CodedError({
    code: 'canceled',
    reason: 'hostd.client_closed',
    message: 'the connection to mvm-hostd was closed by this program',
    hint: 'mvm-hostd may still carry out what was sent: look at the state',
  });
}

/** `resource_exhausted`, reason `hostd.too_many_requests`: too many wait on this client already. */
export function tooManyRequests(limit: number): CodedError {
  return new CodedError({
    code: 'resource_exhausted',
    reason: 'hostd.too_many_requests',
    message: `${limit} requests already wait to be sent to mvm-hostd`,
    hint: 'wait for answers before making more requests',
    details: { max_queued: limit },
  });
}
