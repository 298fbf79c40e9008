import type { Socket } from 'node:net';
import type { FrameConnection } from '@mvm/framing';
import {
  CodedError,
  clientFrameCodec,
  decodeFirstFrame,
  errorToResponse,
  METHODS,
  negotiateVersion,
  serverFrameCodec,
  toCodedError,
  type V2Request,
  type V2Response,
} from '@mvm/protocol';
import { type V1Response, v1ResponseCodec } from '@mvm/protocol/v1';
import type { PeerCredentials } from '@mvm/unix-peer';
import type { Dispatch } from '../requests/dispatch.js';
import { type Admission, ANSWER_BYTES, type CallerBudget, SHORT_ANSWER_BYTES } from './caller-budget.js';
import { type StreamSessionOptions, serveStream } from './stream-session.js';

export interface SessionOptions {
  readonly dispatch: Dispatch;
  readonly streams: StreamSessionOptions;
  /** Who is calling. Throws CodedError `permission_denied` unless the peer may use hostd. */
  readonly identify: (socket: Socket) => PeerCredentials;
  /** Told why a connection was ended early, and by whom when that is known. */
  readonly onProblem: (problem: CodedError, peer: PeerCredentials | null) => void;
  readonly maxInFlight: number;
  /** What all connections of a user share. */
  readonly budget: CallerBudget;
  /** Who we are in Welcome, e.g. `mvm-hostd 0.1.0`. */
  readonly server: string;
}

/** What a version 2 client may rely on besides the requests themselves. */
const FEATURES: readonly string[] = ['streams'];

const PONG = v1ResponseCodec.encode({ type: 'Pong' });

/** Version 1: one request, one answer, end. What version 1 cannot say is a bug: its requests are answered by these. */
async function answerOnce(connection: FrameConnection, response: V2Response): Promise<void> {
  await connection.write(response.type === 'Pong' ? PONG : v1ResponseCodec.encode(asV1(response)));
}

function asV1(response: V2Response): V1Response {
  switch (response.type) {
    case 'Ok':
    case 'Pong':
      return { type: response.type };
    case 'Error':
      return { type: 'Error', message: response.message };
    default:
      throw new Error(`version 1 has no response ${response.type}`);
  }
}

async function answerOf(work: Promise<V2Response>): Promise<V2Response> {
  try {
    return await work;
  } catch (error) {
    return errorToResponse(error);
  }
}

/** Encodes an answer; one that does not fit into a frame becomes the error that says so. */
function encodeAnswer(id: number, response: V2Response): Uint8Array {
  try {
    return serverFrameCodec.encode({ type: 'response', id, response });
  } catch (error) {
    return serverFrameCodec.encode({ type: 'response', id, response: errorToResponse(error) });
  }
}

function unexpectedHello(): CodedError {
  return new CodedError({
    code: 'invalid_argument',
    reason: 'protocol.unexpected_hello',
    message: 'Hello came a second time',
    hint: 'Send Hello once, as the first frame of a connection.',
  });
}

/** What a request may answer, in bytes: an operation answers little, and so does what waits for a change. */
export function answerBytes({ type }: Pick<V2Request, 'type'>): number {
  const short = type === 'Ping' || type === 'WaitForChange' || METHODS[type].mutates;
  return short ? SHORT_ANSWER_BYTES : ANSWER_BYTES;
}

function tooManyConnections(uid: number): CodedError {
  return new CodedError({
    code: 'resource_exhausted',
    reason: 'connection.too_many_of_user',
    message: `user ${uid} has as many connections to hostd as one user may have`,
    hint: 'Close some, send many requests over one, or raise max_connections_per_user of hostd.',
    details: { uid },
  });
}

function streamNotAlone(): CodedError {
  return new CodedError({
    code: 'invalid_argument',
    reason: 'guest_stream.not_alone',
    message: 'OpenStream came on a connection with requests that were not answered yet',
    hint: 'Open each stream on a connection of its own.',
  });
}

function duplicateId(id: number): CodedError {
  return new CodedError({
    code: 'invalid_argument',
    reason: 'protocol.duplicate_id',
    message: `request id ${id} is in use by a request that was not answered yet`,
    hint: 'Give every request of a connection its own id.',
  });
}

/**
 * Version 2, after Welcome: requests run concurrently and are answered as they finish. At most `maxInFlight` at a time:
 * then nothing more is read until one is answered. Ends when the client has ended and everything is answered; throws
 * for a frame that is no envelope, after an Error.
 */
async function serveVersion2(
  connection: FrameConnection,
  peer: PeerCredentials,
  options: SessionOptions,
): Promise<void> {
  const inFlight = new Map<number, Promise<void>>();
  let onSettled: () => void = () => {};
  const answer = async (id: number, work: Promise<V2Response>, admission: Admission): Promise<void> => {
    const release = connection.hold();
    try {
      const encoded = encodeAnswer(id, await answerOf(work));
      admission.answered(encoded.byteLength);
      await connection.write(encoded);
    } catch {
      // The client is gone; its request was carried out.
      connection.destroy();
    } finally {
      admission.release();
      release();
      inFlight.delete(id);
      onSettled();
    }
  };
  try {
    for (;;) {
      while (inFlight.size >= options.maxInFlight) {
        await new Promise<void>((resolve) => {
          onSettled = resolve;
        });
      }
      const body = await connection.read();
      if (body === null) return;
      const frame = clientFrameCodec.decode(body);
      if (frame.type === 'Hello') throw unexpectedHello();
      if (inFlight.has(frame.id)) throw duplicateId(frame.id);
      if (frame.type === 'request' && frame.request.type === 'OpenStream') {
        if (inFlight.size > 0) throw streamNotAlone();
        await serveStream(
          connection,
          { id: frame.id, request: frame.request, peer, origin: frame.origin },
          options.streams,
        );
        return;
      }
      const bytes = frame.type === 'request' ? answerBytes(frame.request) : SHORT_ANSWER_BYTES;
      const admission = await options.budget.admit(peer.uid, bytes);
      const work =
        frame.type === 'request'
          ? options.dispatch(frame.request, peer, frame.origin)
          : Promise.reject(frame.error);
      inFlight.set(frame.id, answer(frame.id, work, admission));
    }
  } finally {
    await Promise.all(inFlight.values());
  }
}

/**
 * Serves one connection. The first frame decides the version. A peer who may not use hostd, and whatever cannot be
 * decoded, is answered with a bare Error (which carries code and reason too; version 1 clients read its message), and
 * the connection is ended. Nothing is thrown for what a peer does.
 */
export async function serveSession(connection: FrameConnection, options: SessionOptions): Promise<void> {
  let peer: PeerCredentials | null = null;
  let disconnected: (() => void) | null = null;
  try {
    peer = options.identify(connection.socket);
    disconnected = options.budget.connect(peer.uid);
    if (disconnected === null) throw tooManyConnections(peer.uid);
    const body = await connection.read();
    if (body === null) return;
    const first = decodeFirstFrame(body);
    if (first.type === 'hello') {
      const version = negotiateVersion(first.hello.versions);
      await connection.write(
        serverFrameCodec.encode({
          type: 'Welcome',
          version,
          server: options.server,
          features: [...FEATURES],
        }),
      );
      await serveVersion2(connection, peer, options);
      return;
    }
    const release = connection.hold();
    const admission = await options.budget.admit(peer.uid, SHORT_ANSWER_BYTES);
    try {
      await answerOnce(connection, await answerOf(options.dispatch(first.request, peer)));
    } finally {
      admission.release();
      release();
    }
  } catch (error) {
    options.onProblem(toCodedError(error), peer);
    // A connection that is gone takes no answer, and has had its reason logged.
    await connection.write(serverFrameCodec.encode(errorToResponse(error))).catch(() => {});
  } finally {
    disconnected?.();
  }
}
