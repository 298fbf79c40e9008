import { randomBytes } from 'node:crypto';
import { connect, createServer, type Socket } from 'node:net';
import { CodedError } from '@mvm/errors';
// biome-ignore lint/style/noRestrictedImports: Node.js has no call for it, and both daemons must know their callers
import koffi from 'koffi';

/** `int getsockopt(fd, level, name, buffer, length)`, length in and out: 0, or -1 with errno. Source: getsockopt(2). */
const getsockopt = koffi
  .load('libc.so.6')
  .func('int getsockopt(int, int, int, void *, void *)') as unknown as (
  fd: number,
  level: number,
  name: number,
  value: Uint8Array,
  length: Uint32Array,
) => number;

/** Who opened the other end of a Unix socket, as the kernel recorded it at connect(2). */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  /** The effective group at connect; supplementary groups are not told. */
  readonly gid: number;
}

const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const UCRED_BYTES = 12;

// One pair of buffers for all calls, which are synchronous: making them for each would cost more than the system call.
const ucred = Buffer.alloc(UCRED_BYTES);
const ucredLength = new Uint32Array(1);

function unknownPeer(problem: string): CodedError {
  return new CodedError({
    code: 'permission_denied',
    reason: 'peer.unknown',
    message: `cannot tell who is calling: ${problem}`,
  });
}

/**
 * The peer's credentials. Throws `permission_denied`, reason `peer.unknown`, whenever they cannot be had: whoever
 * cannot be identified is not served. Source: unix(7), SO_PEERCRED; struct ucred is pid i32, uid u32, gid u32.
 */
export function readPeerCredentials(socket: Socket): PeerCredentials {
  // The descriptor is not public in Node.js; `checkPeerCredentials` proves at start that it can be had.
  const fd = (socket as unknown as { _handle?: { fd?: unknown } | null })._handle?.fd;
  if (typeof fd !== 'number' || !Number.isInteger(fd) || fd < 0)
    throw unknownPeer('the connection is closed');
  // Nothing of the caller before may be left where the kernel writes nothing; all bits set is no user's uid.
  ucred.fill(0xff);
  ucredLength[0] = UCRED_BYTES;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ucred, ucredLength) !== 0)
    throw unknownPeer(`errno ${koffi.errno()}`);
  if (ucredLength[0] !== UCRED_BYTES)
    throw unknownPeer(`${ucredLength[0]} bytes of credentials instead of ${UCRED_BYTES}`);
  return { pid: ucred.readInt32LE(0), uid: ucred.readUInt32LE(4), gid: ucred.readUInt32LE(8) };
}

/**
 * Connect to ourselves once and compare what the kernel says with what we know. Throws `internal`, reason
 * `peer.self_check_failed`: a daemon must not start where it cannot tell its callers apart.
 */
export async function checkPeerCredentials(): Promise<void> {
  const name = `\0mvm-self-check-${process.pid}-${randomBytes(8).toString('hex')}`;
  const server = createServer();
  try {
    const seen = new Promise<PeerCredentials>((resolve, reject) => {
      server.once('error', reject);
      server.once('connection', (socket) => {
        try {
          resolve(readPeerCredentials(socket));
        } catch (error) {
          reject(error);
        } finally {
          socket.destroy();
        }
      });
      server.listen(name, () => {
        const client = connect(name);
        client.once('error', reject);
        client.once('close', () => client.destroy());
        client.resume();
      });
    });
    const peer = await seen;
    const expected = { pid: process.pid, uid: process.geteuid?.(), gid: process.getegid?.() };
    if (peer.pid !== expected.pid || peer.uid !== expected.uid || peer.gid !== expected.gid) {
      throw new Error(`the kernel told ${JSON.stringify(peer)}, we are ${JSON.stringify(expected)}`);
    }
  } catch (cause) {
    throw new CodedError({
      code: 'internal',
      reason: 'peer.self_check_failed',
      message: `peer credentials cannot be read on this system: ${cause instanceof Error ? cause.message : cause}`,
      hint: 'Run it with Node.js 20 or later on Linux with glibc.',
      cause,
    });
  } finally {
    server.close();
  }
}
