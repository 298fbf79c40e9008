/** Streams into guests: HTTP Upgrade, then the frames of docs/guest-streams.md, passed between a client and hostd. */
import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { HTTP_STATUS, STREAM_PROTOCOL, toApiError } from '@mvm/agentd-api';
import { encodeFrame, readFrame } from '@mvm/framing';
import { openGuestStream } from '@mvm/hostd-client';
import { CodedError, errorToResponse, toCodedError } from '@mvm/protocol';
import {
  encodeStreamFrame,
  STREAM_FRAME,
  type StreamSpec,
  streamEndCodec,
  streamOpenCodec,
} from '@mvm/protocol/guest';
import { isValidId } from '@mvm/protocol/names';
import type { PeerCredentials } from '@mvm/unix-peer';
import type { Logger } from 'pino';
import type { OpenStreams } from './open-streams.js';

/** For the client to say what it wants. */
const OPEN_TIMEOUT_MS = 10_000;
const MAX_OPEN_BYTES = 524_288;
const HEAD_BYTES = 5;
const PATH = /^\/v1\/instances\/([^/]+)\/([^/]+)\/([^/]+)\/stream$/;

interface Address {
  readonly tenant_id: string;
  readonly pool_id: string;
  readonly instance_id: string;
}

export interface StreamUpgradeOptions {
  readonly hostdSocket: string;
  readonly clientName: string;
  readonly streams: OpenStreams;
  readonly logger: Logger;
  /** Who is at the other end. Throws `permission_denied` when they may not open streams. */
  readonly admit: (socket: Socket) => PeerCredentials;
}

/** Serves streams on the server; the returned function ends all of them. */
export function serveStreams(server: Server, options: StreamUpgradeOptions): () => void {
  const open = new Set<Duplex>();
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    open.add(socket);
    socket.on('close', () => open.delete(socket));
    socket.on('error', () => {});
    if (head.length > 0) socket.unshift(head);
    serve(request, socket, options).catch((error: unknown) => {
      options.logger.debug({ err: error }, 'a stream was not opened');
      socket.destroy();
    });
  });
  return () => {
    for (const socket of open) socket.destroy();
  };
}

async function serve(request: IncomingMessage, socket: Duplex, options: StreamUpgradeOptions): Promise<void> {
  const address = addressOf(request);
  const caller = admitted(request.socket, options);
  if (address instanceof CodedError || caller instanceof CodedError) {
    socket.end(httpError(caller instanceof CodedError ? caller : (address as CodedError)));
    return;
  }
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${STREAM_PROTOCOL}\r\n\r\n`,
  );
  let hostd: Duplex;
  try {
    const spec = await readSpec(socket);
    hostd = await openGuestStream({
      socketPath: options.hostdSocket,
      clientName: options.clientName,
      request: { type: 'OpenStream', ...address, open: spec },
      origin: { uid: caller.uid, cause: 'api' },
    });
  } catch (error) {
    const payload = streamEndCodec.encode(errorToResponse(error));
    socket.end(encodeFrame(encodeStreamFrame({ type: 'end', payload })));
    return;
  }
  const { tenant_id, pool_id, instance_id } = address;
  if (!socket.destroyed)
    socket.once('close', options.streams.opened(`${tenant_id}/${pool_id}/${instance_id}`));
  connect(socket, hostd);
}

function admitted(socket: Socket, { admit }: StreamUpgradeOptions): PeerCredentials | CodedError {
  try {
    return admit(socket);
  } catch (error) {
    return toCodedError(error);
  }
}

/** Passes bytes both ways until one side is gone, as fast as the slower side takes them. */
function connect(one: Duplex, other: Duplex): void {
  other.on('error', () => {});
  one.on('close', () => other.destroy());
  other.on('close', () => one.destroy());
  if (one.destroyed || other.destroyed) {
    one.destroy();
    other.destroy();
    return;
  }
  one.pipe(other);
  other.pipe(one);
}

async function readSpec(socket: Duplex): Promise<StreamSpec> {
  const body = await readFrame(socket, {
    maxFrameBytes: MAX_OPEN_BYTES,
    signal: AbortSignal.timeout(OPEN_TIMEOUT_MS),
  });
  if (body === null || body[0] !== STREAM_FRAME.open) throw badRequest('the first frame must open a stream');
  const { type: _, ...spec } = streamOpenCodec.decode(body.subarray(HEAD_BYTES));
  return spec;
}

function badRequest(message: string): CodedError {
  return new CodedError({
    code: 'invalid_argument',
    reason: 'request.invalid',
    message,
    hint: 'docs/guest-streams.md says how a stream is opened.',
  });
}

function addressOf(request: IncomingMessage): Address | CodedError {
  const [, ...ids] = PATH.exec(request.url ?? '') ?? [];
  const [tenant_id, pool_id, instance_id] = ids.map((id) => (isValidId(id) ? id : undefined));
  if (tenant_id === undefined || pool_id === undefined || instance_id === undefined)
    return badRequest(`there is no stream at ${(request.url ?? '').slice(0, 200)}`);
  if (request.headers.upgrade?.toLowerCase() !== STREAM_PROTOCOL)
    return badRequest(`the protocol of a stream is ${STREAM_PROTOCOL}`);
  return { tenant_id, pool_id, instance_id };
}

function httpError(error: CodedError): string {
  const body = JSON.stringify({ error: toApiError(toCodedError(error)) });
  const status = HTTP_STATUS[error.code];
  return (
    `HTTP/1.1 ${status} Refused\r\nContent-Type: application/json\r\n` +
    `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`
  );
}
