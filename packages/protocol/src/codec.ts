import { MAX_FRAME_BYTES } from './constants.js';
import { JsonScanner } from './json/scanner.js';
import { protocolError } from './protocol-error.js';

/**
 * Turns values into frame bodies and back. `encode` returns a fresh array that the caller owns; `decode` reads its
 * argument only during the call and keeps nothing of it. Both throw only CodedError, `invalid_argument`, reason
 * `protocol.*`.
 */
export interface Codec<T> {
  encode(value: T): Uint8Array;
  decode(bytes: Uint8Array): T;
}

const encoder = new TextEncoder();
// `ignoreBOM` keeps a byte order mark in the text, where the scanner refuses it.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

function checkSize(bytes: number): void {
  if (bytes <= MAX_FRAME_BYTES) return;
  throw protocolError(
    'message_too_large',
    `message of ${bytes} bytes is over the limit of ${MAX_FRAME_BYTES}`,
    {
      bytes,
      limit: MAX_FRAME_BYTES,
    },
  );
}

/** JSON text as a frame body; `protocol.message_too_large` above 1 048 576 bytes. */
export function encodeBody(json: string): Uint8Array {
  // UTF-8 is never shorter than the number of UTF-16 units, so an oversized text is refused before it is copied.
  checkSize(json.length);
  const bytes = encodeShortAscii(json) ?? encoder.encode(json);
  checkSize(bytes.length);
  return bytes;
}

/** Up to this size an array needs no memory outside the heap, which is most of an encoder's time. */
const SHORT = 64;

/** Most messages are short and ASCII, and then this takes a fifth of the encoder's time; null for any other text. */
function encodeShortAscii(text: string): Uint8Array | null {
  if (text.length > SHORT) return null;
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i += 1) {
    const unit = text.charCodeAt(i);
    if (unit > 127) return null;
    bytes[i] = unit;
  }
  return bytes;
}

/** A frame body as exactly one JSON value, read by `read`; refuses invalid UTF-8, a BOM and bytes after the value. */
export function decodeBody<T>(bytes: Uint8Array, read: (scanner: JsonScanner) => T): T {
  checkSize(bytes.length);
  let text: string;
  try {
    text = decoder.decode(bytes);
  } catch {
    throw protocolError('invalid_utf8', 'body is not valid UTF-8');
  }
  const scanner = new JsonScanner(text);
  const value = read(scanner);
  scanner.end();
  return value;
}
