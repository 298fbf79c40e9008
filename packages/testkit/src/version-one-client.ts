import { connect } from 'node:net';

/**
 * A client of version 1 that shares no code with @mvm/protocol or @mvm/framing, so that both ends cannot be wrong
 * in the same way: connects, sends one frame, shuts down its write half, reads one frame, closes.
 *
 * @param socketPath of a version 1 server
 * @param body the frame's body: text or raw bytes are sent as they are, anything else as JSON
 * @returns the answer's JSON; rejects when the server closes without a whole answer, or after `timeoutMs` (10 s)
 */
export function callVersionOne(socketPath: string, body: unknown, timeoutMs = 10_000): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path: socketPath, allowHalfOpen: true });
    const chunks: Buffer[] = [];
    const timer = setTimeout(() => socket.destroy(new Error(`no answer within ${timeoutMs} ms`)), timeoutMs);
    socket.on('connect', () => socket.end(frame(body)));
    socket.on('data', (chunk) => chunks.push(chunk));
    socket.on('end', () => {
      try {
        resolve(answerOf(Buffer.concat(chunks)));
      } catch (error) {
        reject(error);
      }
    });
    socket.on('error', reject);
    socket.on('close', () => clearTimeout(timer));
  });
}

/** The 4-byte big-endian length, then the body. */
function frame(body: unknown): Buffer {
  const bytes =
    typeof body === 'string' || body instanceof Uint8Array
      ? Buffer.from(body as string)
      : Buffer.from(JSON.stringify(body));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}

function answerOf(bytes: Buffer): unknown {
  if (bytes.length < 4) throw new Error(`the server closed after ${bytes.length} bytes`);
  const length = bytes.readUInt32BE(0);
  if (bytes.length !== 4 + length)
    throw new Error(`the answer has ${bytes.length - 4} bytes instead of ${length}`);
  return JSON.parse(bytes.subarray(4).toString('utf8'));
}
