import { createCipheriv } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';

const MIB = 1_048_576;

/** Bytes that look random, no two pages alike, and are the same in each run. */
export function createPattern(sizeMib: number): Buffer {
  const cipher = createCipheriv('aes-128-ctr', Buffer.alloc(16, 7), Buffer.alloc(16));
  return cipher.update(Buffer.alloc(sizeMib * MIB));
}

/** Sends bytes to a guest that listens, and waits until it has taken all of them. */
export async function sendTo(ip: string, port: number, bytes: Buffer): Promise<void> {
  const socket = connect(port, ip);
  socket.end(bytes);
  socket.resume();
  await once(socket, 'close');
}

/** Everything that a guest sends to whoever connects. */
export async function fetchFrom(ip: string, port: number): Promise<Buffer> {
  const socket = connect(port, ip);
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

/** Offset of the first byte that differs, or at which the shorter one ends; null when there is none. */
export function firstDifference(one: Buffer, other: Buffer): number | null {
  if (one.equals(other)) return null;
  const end = Math.min(one.length, other.length);
  let at = 0;
  while (at < end && one[at] === other[at]) at += 1;
  return at;
}
