import { errorToResponse } from '@mvm/protocol';
import type { StreamEnd, StreamSpec } from '@mvm/protocol/guest';
import { streamInvalid, streamRefused, streamViolated } from './stream-errors.js';

/** Longest specification, in bytes; a frame to the agent may have 262 144. */
const MAX_WISH_BYTES = 196_608;
/** Which fields belong to each kind of stream. */
const FIELDS: Readonly<Record<StreamSpec['kind'], readonly (keyof StreamSpec)[]>> = {
  exec: ['args', 'env', 'cwd', 'user', 'tty', 'stdin'],
  connect: ['port'],
  send_tree: ['path'],
  receive_tree: ['path'],
};
/** Those without which there is nothing to do. */
const NEEDED: Readonly<Record<StreamSpec['kind'], keyof StreamSpec>> = {
  exec: 'args',
  connect: 'port',
  send_tree: 'path',
  receive_tree: 'path',
};

/**
 * A stream's specification as the agent reads it: records `key=value`, each ended by a zero byte. Throws `invalid_argument`,
 * `guest_stream.invalid`.
 */
export function encodeSpec(spec: StreamSpec): Uint8Array {
  const { kind } = spec;
  for (const field of Object.keys(spec) as (keyof StreamSpec)[]) {
    if (field !== 'kind' && !FIELDS[kind].includes(field))
      throw streamInvalid(`a stream of kind ${kind} has no ${field}`);
  }
  const needed = spec[NEEDED[kind]];
  if (needed === undefined || (Array.isArray(needed) && (needed[0] ?? '') === ''))
    throw streamInvalid(`a stream of kind ${kind} needs ${NEEDED[kind]}`);
  if (spec.path !== undefined && !spec.path.startsWith('/'))
    throw streamInvalid('the path in the guest must be absolute');
  if (spec.cwd !== undefined && !spec.cwd.startsWith('/'))
    throw streamInvalid('the directory in the guest must be absolute');
  const records = [
    `kind=${kind}`,
    ...(spec.args ?? []).map((arg) => `arg=${arg}`),
    ...(spec.env ?? []).map((entry) => `env=${entry}`),
    ...(spec.cwd === undefined ? [] : [`cwd=${spec.cwd}`]),
    ...(spec.user === undefined ? [] : [`user=${spec.user}`]),
    ...(spec.tty === undefined ? [] : ['tty=1', `rows=${spec.tty.rows}`, `cols=${spec.tty.cols}`]),
    ...(spec.stdin === true || kind === 'receive_tree' ? ['stdin=1'] : []),
    ...(spec.port === undefined ? [] : [`port=${spec.port}`]),
    ...(spec.path === undefined ? [] : [`path=${spec.path}`]),
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
