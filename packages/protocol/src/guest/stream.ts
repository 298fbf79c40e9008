import { z } from 'zod';

/** Most bytes of a stream that may be under way to the guest, and to the caller, beyond what was credited. */
export const STREAM_WINDOW_TO_GUEST = 65_536;
export const STREAM_WINDOW_TO_CALLER = 262_144;
/** Most bytes of data in one frame. */
export const MAX_STREAM_DATA = 32_768;
/** What a small piece of data costs, so that single bytes cannot flood a reader. */
const LEAST_COST = 256;
/** Longest body of a stream's frame: what comes with an end included. */
export const MAX_STREAM_FRAME_BYTES = 65_536;
/** Type and stream id. */
const STREAM_HEAD_BYTES = 5;

/** The first byte of a stream frame's body; a JSON text begins with none of them. Source: docs/guest-streams.md#frames. */
export const STREAM_FRAME = {
  open: 1,
  data: 2,
  endOfData: 3,
  credit: 4,
  resize: 5,
  signal: 6,
  end: 7,
  close: 8,
} as const;

/** Which of a program's descriptors a piece of data belongs to. */
export const STREAM_CHANNEL = { stdin: 0, stdout: 1, stderr: 2 } as const;

const text = (max: number) =>
  z
    .string()
    .max(max)
    .regex(/^[^\0]*$/, 'must not contain a zero byte');
const terminalSide = z.int().min(0).max(65_535);

/**
 * What a stream shall be in the guest. `exec`: a program, with its arguments, the environment beyond the image's
 * (`KEY=value`), directory, user (`name` or `uid`, with `:group`), and a terminal of so many rows and columns, or pipes.
 * `connect`: a TCP connection to the guest's own loopback. `send_tree` and `receive_tree`: files from or to `path`.
 */
export const streamSpecSchema = z.object({
  kind: z.enum(['exec', 'connect', 'send_tree', 'receive_tree']),
  args: z.array(text(131_072)).max(1024).optional(),
  env: z
    .array(text(131_072).regex(/^[^=]+=/, 'must be KEY=value'))
    .max(1024)
    .optional(),
  cwd: text(4096).optional(),
  user: text(255).optional(),
  tty: z.object({ rows: terminalSide, cols: terminalSide }).optional(),
  stdin: z.boolean().optional(),
  port: z.int().min(1).max(65_535).optional(),
  path: text(4096).optional(),
});
export type StreamSpec = z.infer<typeof streamSpecSchema>;

/** Data counts for credit with its length, and at least with this. */
export function streamCost(bytes: number): number {
  return Math.max(bytes, LEAST_COST);
}

/** A stream's frame in memory; `data` is a view of the body that it was read from. */
export type StreamFrame =
  | { readonly type: 'data'; readonly channel: number; readonly data: Uint8Array }
  | { readonly type: 'endOfData'; readonly channel: number }
  | { readonly type: 'credit'; readonly bytes: number }
  | { readonly type: 'resize'; readonly rows: number; readonly cols: number }
  | { readonly type: 'signal'; readonly number: number }
  /** Its payload is a StreamEnd for a caller, and records for hostd. */
  | { readonly type: 'end'; readonly payload: Uint8Array }
  | { readonly type: 'open'; readonly payload: Uint8Array }
  /** `detach`: what runs goes on without us; else it is hung up. */
  | { readonly type: 'close'; readonly detach: boolean };

function payloadSize(frame: StreamFrame): number {
  switch (frame.type) {
    case 'data':
      return 1 + frame.data.length;
    case 'end':
    case 'open':
      return frame.payload.length;
    case 'credit':
    case 'resize':
      return 4;
    default:
      return 1;
  }
}

/** A frame's body: type, stream id, payload. */
export function encodeStreamFrame(frame: StreamFrame, id = 0): Uint8Array {
  const body = new Uint8Array(STREAM_HEAD_BYTES + payloadSize(frame));
  const view = new DataView(body.buffer);
  body[0] = STREAM_FRAME[frame.type];
  view.setUint32(1, id);
  switch (frame.type) {
    case 'data':
      body[5] = frame.channel;
      body.set(frame.data, 6);
      break;
    case 'endOfData':
      body[5] = frame.channel;
      break;
    case 'credit':
      view.setUint32(5, frame.bytes);
      break;
    case 'resize':
      view.setUint16(5, frame.rows);
      view.setUint16(7, frame.cols);
      break;
    case 'signal':
      body[5] = frame.number;
      break;
    case 'close':
      body[5] = frame.detach ? 1 : 0;
      break;
    default:
      body.set(frame.payload, 5);
  }
  return body;
}

/** Whether a frame's body is a stream's, and no JSON text. */
export function isStreamFrame(body: Uint8Array): boolean {
  const type = body[0] ?? 0;
  return type >= STREAM_FRAME.open && type <= STREAM_FRAME.close;
}

/** The id in a stream frame's body; null when it is too short to have one. */
export function streamIdOf(body: Uint8Array): number | null {
  if (body.length < STREAM_HEAD_BYTES) return null;
  return new DataView(body.buffer, body.byteOffset, body.length).getUint32(1);
}

/** The frame in a body; null when it is none: too short or too long for its type, or of an unknown one. */
export function decodeStreamFrame(body: Uint8Array): StreamFrame | null {
  const size = body.length - STREAM_HEAD_BYTES;
  if (size < 1 || body.length > MAX_STREAM_FRAME_BYTES) return null;
  const view = new DataView(body.buffer, body.byteOffset, body.length);
  const first = view.getUint8(STREAM_HEAD_BYTES);
  const rest = body.subarray(STREAM_HEAD_BYTES);
  switch (body[0]) {
    case STREAM_FRAME.open:
      return { type: 'open', payload: rest };
    case STREAM_FRAME.data:
      if (size - 1 > MAX_STREAM_DATA || first > STREAM_CHANNEL.stderr) return null;
      return { type: 'data', channel: first, data: rest.subarray(1) };
    case STREAM_FRAME.endOfData:
      return size === 1 && first <= STREAM_CHANNEL.stderr ? { type: 'endOfData', channel: first } : null;
    case STREAM_FRAME.credit:
      return size === 4 ? { type: 'credit', bytes: view.getUint32(5) } : null;
    case STREAM_FRAME.resize:
      return size === 4 ? { type: 'resize', rows: view.getUint16(5), cols: view.getUint16(7) } : null;
    case STREAM_FRAME.signal:
      return size === 1 && first >= 1 && first <= 64 ? { type: 'signal', number: first } : null;
    case STREAM_FRAME.end:
      return { type: 'end', payload: rest };
    case STREAM_FRAME.close:
      return size === 1 && first <= 1 ? { type: 'close', detach: first === 1 } : null;
    default:
      return null;
  }
}
