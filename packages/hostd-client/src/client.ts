import {
  errorFromResponse,
  isCodedError,
  METHODS,
  type RequestOrigin,
  type ResponseOf,
  type V2Request,
  type V2Response,
} from '@mvm/protocol';
import { type CallLimits, startCallLimits } from './call-limits.js';
import { badAnswer, clientClosed, versionTooOld } from './errors.js';
import { DEFAULT_CLIENT_LIMITS, type HostdClientLimits } from './limits.js';
import { negotiate, type ServerIdentity } from './negotiate.js';
import { HostdSession } from './session.js';
import { isVersion1Request, requestVersion1 } from './version1.js';

// INVARIANTS
// - At most one connection of version 2 at a time; requests that come while it is made share it.
// - Only a request that changes nothing is ever sent twice.

/** How to reach hostd. Absent limits are those of `DEFAULT_CLIENT_LIMITS`. */
export interface HostdClientOptions
  extends Partial<{ readonly [K in keyof HostdClientLimits]: number | undefined }> {
  readonly socketPath: string;
  /** For hostd's log: name and release, e.g. `mvm-agentd/0.1.0`, at most 256 characters. */
  readonly clientName: string;
}

/** What one request may have of its own. */
export interface RequestOptions {
  /** Gives the request up; hostd may still carry it out. */
  readonly signal?: AbortSignal | undefined;
  /** From the call to the answer, connecting included. */
  readonly timeoutMs?: number | undefined;
  /** On whose behalf, for hostd's audit log; a version 1 hostd does not get it. */
  readonly origin?: RequestOrigin | undefined;
}

/** A client of mvm-hostd: connects when needed, again after a loss, and speaks version 1 where hostd does. */
export interface HostdClient {
  /**
   * Sends one request; resolves with the response that answers it. Requests run at the same time and may overtake each
   * other. An Error response is thrown with hostd's code, reason, details and hint; from a version 1 hostd it has code
   * `internal`, reason `peer.error`. A read-only request whose connection was lost is sent once more.
   * Throws CodedError: `hostd.unreachable`, `hostd.disconnected` (unavailable), `hostd.denied`, `hostd.timeout`,
   * `hostd.canceled`, `hostd.version_too_old`, `hostd.bad_answer`, `hostd.too_many_requests`, `hostd.client_closed`.
   */
  request<R extends V2Request>(request: R, options?: RequestOptions): Promise<ResponseOf<R['type']>>;
  /** The version that hostd spoke last; null before the first answer and after a failure to connect. */
  version(): 1 | 2 | null;
  /** What hostd said about itself; null for version 1 and while there is no connection. */
  readonly server: ServerIdentity | null;
  /** Closes the connection; requests under way and later ones are rejected. */
  close(): Promise<void>;
}

/** Makes a client; nothing is connected before the first request. */
export function createHostdClient(options: HostdClientOptions): HostdClient {
  const { socketPath, clientName } = options;
  const limits = resolveClientLimits(options);
  let session: HostdSession | null = null;
  let connecting: Promise<HostdSession | null> | null = null;
  let spoken: 1 | 2 | null = null;
  let version1Until = 0;
  const closing = new AbortController();

  /** A new session, the same for all who wait for one; null: hostd speaks version 1. */
  function connectOnce(): Promise<HostdSession | null> {
    connecting ??= connect().finally(() => {
      connecting = null;
    });
    return connecting;
  }

  async function connect(): Promise<HostdSession | null> {
    session = null;
    const negotiated = await negotiate({
      socketPath,
      clientName,
      connectTimeoutMs: limits.connectTimeoutMs,
    }).catch((error: unknown) => {
      spoken = null;
      throw error;
    });
    spoken = negotiated.version;
    if (negotiated.version === 1) {
      version1Until = performance.now() + limits.version1MemoryMs;
      return null;
    }
    version1Until = 0;
    session = new HostdSession(negotiated.connection, negotiated.server, socketPath, limits);
    if (closing.signal.aborted) session.close();
    return session;
  }

  async function attempt(
    request: V2Request,
    call: CallLimits,
    { signal, origin }: RequestOptions,
  ): Promise<V2Response> {
    call.check();
    const onVersion1 = isVersion1Request(request) && performance.now() < version1Until;
    const current = onVersion1 ? null : session?.usable ? session : await givingUp(connectOnce(), call);
    if (closing.signal.aborted) throw clientClosed();
    if (current !== null) {
      const { response, abandon } = current.call(request, origin);
      const stop = call.watch(abandon);
      try {
        return await response;
      } finally {
        stop();
      }
    }
    if (!isVersion1Request(request)) throw versionTooOld(socketPath, request.type);
    try {
      return await requestVersion1(request, {
        socketPath,
        connectTimeoutMs: limits.connectTimeoutMs,
        timeoutMs: call.remainingMs(),
        signal: signal === undefined ? closing.signal : AbortSignal.any([signal, closing.signal]),
      });
    } catch (error) {
      // Whoever answers next may speak another version.
      version1Until = 0;
      throw closing.signal.aborted ? clientClosed() : error;
    }
  }

  async function send(request: V2Request, requestOptions: RequestOptions): Promise<V2Response> {
    const { signal, timeoutMs = limits.requestTimeoutMs } = requestOptions;
    if (closing.signal.aborted) throw clientClosed();
    const call = startCallLimits(request, socketPath, timeoutMs, signal);
    const reused = session?.usable === true;
    try {
      return await attempt(request, call, requestOptions);
    } catch (error) {
      const lost = isCodedError(error) && error.reason === 'hostd.disconnected';
      if (!lost || !reused || closing.signal.aborted || METHODS[request.type].mutates) throw error;
      return attempt(request, call, requestOptions);
    }
  }

  return {
    async request<R extends V2Request>(
      request: R,
      requestOptions: RequestOptions = {},
    ): Promise<ResponseOf<R['type']>> {
      const response = await send(request, requestOptions);
      if (response.type === 'Error') throw errorFromResponse(response);
      if (isAnswerTo(request, response)) return response;
      throw badAnswer(socketPath, `it answered ${request.type} with ${response.type}`);
    },
    version: () => spoken,
    get server() {
      return session?.usable ? session.server : null;
    },
    async close() {
      closing.abort();
      session?.close();
    },
  };
}

/** Whether a response is the one that answers this request (and no Error). */
function isAnswerTo<R extends V2Request>(
  request: R,
  response: V2Response,
): response is ResponseOf<R['type']> {
  return response.type === METHODS[request.type].response;
}

/** As the promise settles, or as the call is given up; the promise goes on for others. */
function givingUp<T>(promise: Promise<T>, call: CallLimits): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = call.watch(reject);
    promise.then(resolve, reject).finally(stop);
  });
}

function resolveClientLimits(options: HostdClientOptions): HostdClientLimits {
  return {
    connectTimeoutMs: options.connectTimeoutMs ?? DEFAULT_CLIENT_LIMITS.connectTimeoutMs,
    requestTimeoutMs: options.requestTimeoutMs ?? DEFAULT_CLIENT_LIMITS.requestTimeoutMs,
    maxInFlight: options.maxInFlight ?? DEFAULT_CLIENT_LIMITS.maxInFlight,
    maxQueued: options.maxQueued ?? DEFAULT_CLIENT_LIMITS.maxQueued,
    idleTimeoutMs: options.idleTimeoutMs ?? DEFAULT_CLIENT_LIMITS.idleTimeoutMs,
    version1MemoryMs: options.version1MemoryMs ?? DEFAULT_CLIENT_LIMITS.version1MemoryMs,
  };
}
