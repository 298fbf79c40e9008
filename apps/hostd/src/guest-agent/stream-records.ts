import { errorToResponse } from '@mvm/protocol';
import type { StreamEnd, StreamWish } from '@mvm/protocol/guest';
import { streamInvalid, streamRefused, streamViolated } from './stream-errors.js';

/** Longest wish, in bytes; a frame to the agent may have 262 144. */
const MAX_WISH_BYTES = 196_608;
/** Which fields belong to each kind of stream. */
const FIELDS: Readonly<Record<StreamWish['kind'], readonly (keyof StreamWish)[]>> = {
  exec: ['args', 'env', 'cwd', 'user', 'tty', 'stdin'],
  connect: ['port'],
  send_tree: ['path'],
  receive_tree: ['path'],
};
/** Those without which there is nothing to do. */
const NEEDED: Readonly<Record<StreamWish['kind'], keyof StreamWish>> = {
  exec: 'args',
  connect: 'port',
  send_tree: 'path',
  receive_tree: 'path',
};

/**
 * A wish as the agent reads it: records `key=value`, each ended by a zero byte. Throws `invalid_argument`,
 * `guest_stream.invalid`.
 */
export function encodeWish(wish: StreamWish): Uint8Array {
  const { kind } = wish;
  for (const field of Object.keys(wish) as (keyof StreamWish)[]) {
    if (field !== 'kind' && !FIELDS[kind].includes(field))
      throw streamInvalid(`a stream of kind ${kind} has no ${field}`);
  }
  const needed = wish[NEEDED[kind]];
  if (needed === undefined || (Array.isArray(needed) && (needed[0] ?? '') === ''))
    throw streamInvalid(`a stream of kind ${kind} needs ${NEEDED[kind]}`);
  if (wish.path !== undefined && !wish.path.startsWith('/'))
    throw streamInvalid('the path in the guest must be absolute');
  if (wish.cwd !== undefined && !wish.cwd.startsWith('/'))
    throw streamInvalid('the directory in the guest must be absolute');
  const records = [
    `kind=${kind}`,
    ...(wish.args ?? []).map((arg) => `arg=${arg}`),
    ...(wish.env ?? []).map((entry) => `env=${entry}`),
    ...(wish.cwd === undefined ? [] : [`cwd=${wish.cwd}`]),
    ...(wish.user === undefined ? [] : [`user=${wish.user}`]),
    ...(wish.tty === undefined ? [] : ['tty=1', `rows=${wish.tty.rows}`, `cols=${wish.tty.cols}`]),
    ...(wish.stdin === true || kind === 'receive_tree' ? ['stdin=1'] : []),
    ...(wish.port === undefined ? [] : [`port=${wish.port}`]),
    ...(wish.path === undefined ? [] : [`path=${wish.path}`]),
  ];
  const bytes = Buffer.from(`${records.join('\0')}\0`);
  if (bytes.length > MAX_WISH_BYTES)
    throw streamInvalid(`what shall be opened takes ${bytes.length} bytes; the limit is ${MAX_WISH_BYTES}`);
  return bytes;
}

/** How a stream ended, as the agent says it; what it may not say becomes `guest_stream.violated`. */
export function decodeEnd(payload: Uint8Array): StreamEnd {
  const text = Buffer.from(payload.subarray(0, 1024)).toString().replace(/\0$/, '');
  const [, key = '', value = ''] = /^([a-z]+)=(.*)$/s.exec(text) ?? [];
  const number = /^\d{1,3}$/.test(value) ? Number(value) : -1;
  if (key === 'code' && number >= 0 && number <= 255) return { type: 'Exited', code: number };
  if (key === 'signal' && number >= 1 && number <= 64) return { type: 'Killed', signal: number };
  if (key === 'error') return errorToResponse(streamRefused(value));
  return errorToResponse(streamViolated('it does not say how the stream ended'));
}
