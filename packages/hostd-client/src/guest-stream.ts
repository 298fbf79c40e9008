import type { Socket } from 'node:net';
import { connectSocket, isFramingError, readFrame, writeFrame } from '@mvm/framing';
import {
  clientFrameCodec,
  errorFromResponse,
  PROTOCOL_VERSION,
  type RequestOf,
  type RequestOrigin,
  type ServerFrame,
  serverFrameCodec,
} from '@mvm/protocol';
import { badAnswer, hostdError, versionTooOld } from './errors.js';
import { DEFAULT_CLIENT_LIMITS } from './limits.js';

/** Where hostd is, who asks, and for what. */
export interface OpenStreamOptions {
  readonly socketPath: string;
  /** As `HostdClientOptions.clientName`. */
  readonly clientName: string;
  readonly request: RequestOf<'OpenStream'>;
  /** On whose behalf, for hostd's audit log. */
  readonly origin?: RequestOrigin | undefined;
  /** Until hostd has answered; default that of any request. */
  readonly timeoutMs?: number;
}

const STREAM_ID = 1;

/**
 * Opens a stream into a guest, and returns the connection that carries its frames from now on; whoever has it destroys
 * it. Throws CodedError: those of a connection to hostd, and what hostd answers.
 */
export async function openGuestStream(options: OpenStreamOptions): Promise<Socket> {
  const { socketPath, clientName, request, origin } = options;
  const timeoutMs = options.timeoutMs ?? DEFAULT_CLIENT_LIMITS.requestTimeoutMs;
  const signal = AbortSignal.timeout(timeoutMs);
  const socket = await connectSocket(socketPath, DEFAULT_CLIENT_LIMITS.connectTimeoutMs, signal).catch(
    (error: unknown) => {
      throw hostdError(error, socketPath);
    },
  );
  const next = async (): Promise<ServerFrame> => {
    const body = await readFrame(socket, { signal });
    if (body === null) throw badAnswer(socketPath, 'it closed the connection instead of an answer');
    return serverFrameCodec.decode(body);
  };
  try {
    const hello = { type: 'Hello', versions: [PROTOCOL_VERSION], client: clientName } as const;
    // Both at once: what the Welcome says is looked at before the answer, and a hostd without streams opens none.
    await writeFrame(socket, clientFrameCodec.encode({ ...hello, versions: [...hello.versions] }));
    await writeFrame(
      socket,
      clientFrameCodec.encode({ type: 'request', id: STREAM_ID, request, ...(origin && { origin }) }),
    );
    const welcome = await next();
    if (welcome.type === 'Error') throw errorFromResponse(welcome);
    if (welcome.type !== 'Welcome')
      throw badAnswer(socketPath, `it answered Hello with a ${welcome.type} frame`);
    if (!welcome.features.includes('streams')) throw versionTooOld(socketPath, 'OpenStream');
    const answer = await next();
    if (answer.type === 'Error') throw errorFromResponse(answer);
    if (answer.type !== 'response' || answer.id !== STREAM_ID)
      throw badAnswer(socketPath, `it answered OpenStream with a ${answer.type} frame`);
    if (answer.response.type === 'Error') throw errorFromResponse(answer.response);
    if (answer.response.type !== 'StreamOpened')
      throw badAnswer(socketPath, `it answered OpenStream with ${answer.response.type}`);
    return socket;
  } catch (error) {
    socket.on('error', () => {});
    socket.destroy();
    throw isFramingError(error) ? hostdError(error, socketPath) : error;
  }
}
