import { connectFrames, type FrameConnection, isFramingError, recvMessage, sendMessage } from '@mvm/framing';
import {
  clientFrameCodec,
  errorFromResponse,
  PROTOCOL_VERSION,
  type ServerFrame,
  serverFrameCodec,
} from '@mvm/protocol';
import { badAnswer, hostdError, unresponsive } from './errors.js';

/** What hostd said about itself in its Welcome. */
export interface ServerIdentity {
  /** Its name and release. */
  readonly name: string;
  readonly features: readonly string[];
}

/** A connection on which version 2 was agreed, or the fact that hostd speaks version 1. */
export type Negotiated =
  | { readonly version: 2; readonly connection: FrameConnection; readonly server: ServerIdentity }
  | { readonly version: 1 };

/** Where hostd is and who asks. */
export interface NegotiateOptions {
  readonly socketPath: string;
  /** For hostd's log: name and release, at most 256 characters. */
  readonly clientName: string;
  /** For the connection, and again for the Welcome. */
  readonly connectTimeoutMs: number;
}

/**
 * Connects and agrees on a version. A server that closes the connection instead of a Welcome, or answers with an Error
 * of version 1 (one without a code), speaks version 1; an Error with a code is thrown.
 * Throws CodedError `hostd.unreachable`, `hostd.denied`, `hostd.bad_answer`, and what the server's Error says.
 */
export async function negotiate(options: NegotiateOptions): Promise<Negotiated> {
  const { socketPath, connectTimeoutMs } = options;
  const connection = await connect(options);
  let hangs = false;
  const timer = setTimeout(() => {
    hangs = true;
    connection.destroy();
  }, connectTimeoutMs);
  try {
    const greeting = await greet(connection, options);
    if (hangs) throw unresponsive(socketPath, connectTimeoutMs);
    const negotiated = judge(greeting, connection, socketPath);
    if (negotiated.version === 1) connection.destroy();
    return negotiated;
  } catch (error) {
    connection.destroy();
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function connect({ socketPath, connectTimeoutMs }: NegotiateOptions): Promise<FrameConnection> {
  try {
    return await connectFrames({ path: socketPath, connectTimeoutMs });
  } catch (error) {
    throw hostdError(error, socketPath);
  }
}

/** The server's first frame; null when it closed instead. */
async function greet(connection: FrameConnection, options: NegotiateOptions): Promise<ServerFrame | null> {
  const { socketPath, clientName } = options;
  try {
    const hello = { type: 'Hello', versions: [PROTOCOL_VERSION], client: clientName } as const;
    await sendMessage(connection, clientFrameCodec, { ...hello, versions: [...hello.versions] });
    return await recvMessage(connection, serverFrameCodec);
  } catch (error) {
    if (isFramingError(error) && error.reason === 'connection.closed') return null;
    throw badAnswer(socketPath, 'its first frame is no Welcome', error);
  }
}

function judge(greeting: ServerFrame | null, connection: FrameConnection, socketPath: string): Negotiated {
  if (greeting === null) return { version: 1 };
  if (greeting.type === 'Error') {
    if (greeting.code === undefined) return { version: 1 };
    throw errorFromResponse(greeting);
  }
  if (greeting.type !== 'Welcome')
    throw badAnswer(socketPath, `it answered Hello with a ${greeting.type} frame`);
  if (greeting.version !== PROTOCOL_VERSION) {
    throw badAnswer(socketPath, `it chose version ${greeting.version}, which was not offered`);
  }
  return { version: 2, connection, server: { name: greeting.server, features: greeting.features } };
}
