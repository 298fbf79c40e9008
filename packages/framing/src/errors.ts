import { CodedError, type ErrorCode, type ErrorDetails, errnoOf, isCodedError } from '@mvm/errors';

/**
 * Every way in which framing fails, with its code. Specific and stable: callers may switch on it.
 * A reason is never reused for another meaning.
 */
export const FRAMING_REASONS = {
  /** A length above the limit, received or about to be sent. Nothing was allocated or written for it. */
  'frame.too_large': 'invalid_argument',
  /** The stream ended inside a header or a body. */
  'frame.truncated': 'unavailable',
  /** A frame was begun and not completed in time. */
  'frame.timeout': 'deadline_exceeded',
  /** No process listens on the path. */
  'connection.refused': 'unavailable',
  /** The path may not be connected to by this user. */
  'connection.denied': 'permission_denied',
  /** The listener did not accept in time. */
  'connection.timeout': 'unavailable',
  /** The peer closed the connection before what was waited for, or the connection failed. */
  'connection.closed': 'unavailable',
  /** The server closed a connection on which nothing happened for too long. */
  'connection.idle': 'deadline_exceeded',
  /** The peer did not take what was written in time; the connection was destroyed. */
  'connection.write_timeout': 'deadline_exceeded',
  /** More waits to be written on this connection than may be held. */
  'connection.write_queue_full': 'resource_exhausted',
  /** The server has as many connections as it may have; this one was closed at once. */
  'connection.too_many': 'resource_exhausted',
  /** The server's `authorize` refused the peer. */
  'connection.unauthorized': 'permission_denied',
  /** A whole answer did not arrive in time. */
  'response.timeout': 'deadline_exceeded',
  /** The caller's AbortSignal fired. */
  'request.canceled': 'canceled',
  /** The path does not fit into `sockaddr_un`. */
  'socket.path_too_long': 'invalid_argument',
  /** The path is empty or contains a NUL byte. */
  'socket.path_invalid': 'invalid_argument',
  /** Another process answers on the path. */
  'socket.in_use': 'failed_precondition',
  /** Something that is not a socket stands at the path. */
  'socket.path_occupied': 'failed_precondition',
  /** The inherited descriptor is not a socket. */
  'socket.fd_invalid': 'invalid_argument',
  /** The operating system refused to create, own or open the socket; `details.errno` tells why. */
  'socket.listen_failed': 'failed_precondition',
  /** A server's handler threw something that is no coded error: a bug; see `cause`. */
  'handler.failed': 'internal',
} as const satisfies Record<string, ErrorCode>;

/** One of {@link FRAMING_REASONS}. */
export type FramingReason = keyof typeof FRAMING_REASONS;

/** What a {@link FramingError} is made of; its code and retry class follow from the reason. */
export interface FramingErrorInit {
  readonly reason: FramingReason;
  /** What happened, to which object. */
  readonly message: string;
  /** What to do next. */
  readonly hint?: string | undefined;
  /** Flat and printable. */
  readonly details?: ErrorDetails | undefined;
  readonly cause?: unknown;
}

/** Every failure of framing: a CodedError whose code follows from its reason. */
export class FramingError extends CodedError {
  override readonly name = 'FramingError';
  declare readonly reason: FramingReason;

  constructor(init: FramingErrorInit) {
    super({ ...init, code: FRAMING_REASONS[init.reason] });
  }
}

/** Whether a thrown value is a {@link FramingError}, whichever copy of this package made it. */
export function isFramingError(value: unknown): value is FramingError {
  return isCodedError(value) && value.name === 'FramingError';
}

/** `connection.closed`, with the socket's own error, if there was one, as its cause. */
export function connectionClosed(message: string, cause?: unknown): FramingError {
  const errno = errnoOf(cause);
  return new FramingError({
    reason: 'connection.closed',
    message: errno === null ? message : `${message} (${errno})`,
    hint: "look at the other side's log for why it closed the connection, then try again",
    details: errno === null ? {} : { errno },
    cause,
  });
}

/** `request.canceled`, with the signal's reason as its cause. */
export function requestCanceled(signal: AbortSignal): FramingError {
  return new FramingError({
    reason: 'request.canceled',
    message: 'the request was canceled',
    hint: 'the other side may still carry it out: look at the state before trying again',
    cause: signal.reason,
  });
}
