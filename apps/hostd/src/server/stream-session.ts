/** A connection that carries one stream, from the answer to OpenStream on. */
import type { FrameConnection } from '@mvm/framing';
import {
  errorToResponse,
  type RequestOf,
  type RequestOrigin,
  serverFrameCodec,
  type V2Response,
} from '@mvm/protocol';
import {
  encodeStreamFrame,
  MAX_STREAM_FRAME_BYTES,
  type StreamEnd,
  streamEndCodec,
} from '@mvm/protocol/guest';
import type { PeerCredentials } from '@mvm/unix-peer';
import { streamInvalid, streamLost } from '../guest-agent/stream-errors.js';
import type { GuestStream } from '../guest-agent/stream-mux.js';
import type { PreparedStream, PrepareStream } from '../requests/open-stream.js';
import type { StreamLimits } from './stream-limits.js';

export interface StreamSessionOptions {
  readonly prepare: PrepareStream;
  readonly limits: StreamLimits;
}

interface Opening {
  readonly id: number;
  readonly request: RequestOf<'OpenStream'>;
  readonly peer: PeerCredentials;
  readonly origin: RequestOrigin | undefined;
}

/**
 * Answers the request, and passes frames both ways until the guest, or the caller, ends the stream. What is buffered is
 * bounded: towards the caller by the credit that it gave, towards the guest by one frame at a time.
 */
export async function serveStream(
  connection: FrameConnection,
  { id, request, peer, origin }: Opening,
  { prepare, limits }: StreamSessionOptions,
): Promise<void> {
  const answer = (response: V2Response): Promise<void> =>
    connection.write(serverFrameCodec.encode({ type: 'response', id, response }));
  const idle = connection.hold();
  let release: (() => void) | null = null;
  try {
    release = limits.admit(peer.uid);
    const prepared = await prepare(request, peer, origin);
    let end: StreamEnd | null = null;
    try {
      const opened = prepared.recorded.then(() => answer({ type: 'StreamOpened' }));
      end = await pass(connection, prepared, opened);
    } catch (error) {
      if (!connection.signal.aborted) end = errorToResponse(error);
      throw error;
    } finally {
      await prepared.ended(end);
    }
  } catch (error) {
    if (!connection.signal.aborted) await answer(errorToResponse(error)).catch(() => {});
  } finally {
    release?.();
    idle();
  }
}

/**
 * How the guest ended it; null when the caller left first. The guest is asked at once; what it sends before `opened` waits,
 * within its credit. Throws what `opened` throws: then the guest is left.
 */
async function pass(
  connection: FrameConnection,
  prepared: PreparedStream,
  opened: Promise<void>,
): Promise<StreamEnd | null> {
  let finish: (end: StreamEnd) => void = () => {};
  const ended = new Promise<StreamEnd>((resolve) => {
    finish = resolve;
  });
  let stream: GuestStream;
  try {
    stream = prepared.open({
      frame: (body) => {
        opened.then(
          () => connection.write(body).catch(() => connection.destroy()),
          // The caller is told why there is no stream.
          () => {},
        );
      },
      end: finish,
    });
  } catch (error) {
    const end: StreamEnd = errorToResponse(error);
    await opened;
    await sendEnd(connection, end);
    return end;
  }
  try {
    await opened;
    const left = passCaller(connection, stream);
    const end = await Promise.race([ended, left]);
    // A caller whose own mistake ended it learns of it, and one that hostd leaves behind, too.
    await sendEnd(connection, end ?? errorToResponse(streamLost('mvm-hostd has ended the connection')));
    return end;
  } finally {
    stream.abandon();
  }
}

/** Passes what the caller sends; null when it has left, or how its own mistake ends the stream. */
async function passCaller(connection: FrameConnection, stream: GuestStream): Promise<StreamEnd | null> {
  try {
    for (;;) {
      const body = await connection.read();
      if (body === null) return null;
      if (body.length > MAX_STREAM_FRAME_BYTES) throw streamInvalid('a frame of a stream is too long');
      await stream.send(body);
    }
  } catch (error) {
    return connection.signal.aborted ? null : errorToResponse(error);
  }
}

async function sendEnd(connection: FrameConnection, end: StreamEnd): Promise<void> {
  const payload = streamEndCodec.encode(end);
  await connection.write(encodeStreamFrame({ type: 'end', payload })).catch(() => {});
}
