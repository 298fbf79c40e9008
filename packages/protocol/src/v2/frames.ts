import type { CodedError } from '@mvm/errors';
import { type Codec, decodeBody, encodeBody } from '../codec.js';
import { type JsonValue, readValue } from '../json/reader.js';
import type { JsonScanner } from '../json/scanner.js';
import { compileTagged } from '../json/tagged-shape.js';
import { writeValue } from '../json/writer.js';
import type { V2Request } from '../methods.js';
import { protocolError } from '../protocol-error.js';
import type { Tagged } from '../tagged.js';
import { type V1Request, v1RequestShape } from '../v1/codec.js';
import { idShape, readEnvelope } from './envelope.js';
import { helloSchema, welcomeSchema } from './frame-schemas.js';
import { v2RequestShape, v2ResponseShape } from './messages.js';
import { originShape, type RequestOrigin } from './origin.js';
import { type V2Response, v2ResponseSchemas } from './responses.js';

const helloShape = compileTagged({ Hello: helloSchema });
const greetingShape = compileTagged({ Welcome: welcomeSchema, Error: v2ResponseSchemas.Error });

/** `{"Hello":{"versions":[2],"client":"…"}}`: the first frame of a version 2 client. */
export type HelloFrame = Tagged<{ readonly Hello: typeof helloSchema }>;

/** What a version 2 client sends. */
export type ClientFrame =
  | HelloFrame
  /** `{"id":n,"request":…}`, or `{"id":n,"origin":…,"request":…}` */
  | { type: 'request'; id: number; request: V2Request; origin?: RequestOrigin }
  /** Decoded only: the envelope was readable, the request in it was not. Answer `error` under `id`. */
  | { type: 'invalid_request'; id: number; error: CodedError };

/** What a version 2 server sends. */
export type ServerFrame =
  /** Welcome, or an Error in its place or before the server closes the connection. */
  | Tagged<{ readonly Welcome: typeof welcomeSchema; readonly Error: typeof v2ResponseSchemas.Error }>
  /** `{"id":n,"response":…}` */
  | { type: 'response'; id: number; response: V2Response }
  /** Decoded only: an answer that this side cannot read; fails that one request. */
  | { type: 'invalid_response'; id: number; error: CodedError }
  /** `{"event":…}`, unasked for; a client ignores those that it does not know. */
  | { type: 'event'; event: JsonValue };

/** The first frame of a connection, as a server must take it. */
export type FirstFrame = { type: 'hello'; hello: HelloFrame } | { type: 'v1'; request: V1Request };

/** Opens the object that comes next and returns its first key (null when empty), or undefined when none comes. */
function openObject(scanner: JsonScanner): string | null | undefined {
  if (scanner.peekKind() !== 'object') return undefined;
  scanner.beginObject();
  return scanner.nextKey(true);
}

function notAFrame(scanner: JsonScanner, expected: string): CodedError {
  return scanner.error('invalid_message', `expected a frame of version 2: ${expected}`);
}

function readClientFrame(scanner: JsonScanner): ClientFrame {
  const start = scanner.position;
  const firstKey = openObject(scanner);
  if (firstKey === undefined) throw notAFrame(scanner, '{"id":…,"request":…}');
  if (firstKey === 'Hello') {
    scanner.rewind(start);
    return helloShape.read(scanner);
  }
  const envelope = readEnvelope(scanner, firstKey, 'request', v2RequestShape.read);
  return 'error' in envelope
    ? { type: 'invalid_request', id: envelope.id, error: envelope.error }
    : {
        type: 'request',
        id: envelope.id,
        request: envelope.message,
        ...(envelope.origin && { origin: envelope.origin }),
      };
}

function readServerFrame(scanner: JsonScanner): ServerFrame {
  const start = scanner.position;
  const firstKey = openObject(scanner);
  if (firstKey === undefined) throw notAFrame(scanner, '{"id":…,"response":…}');
  if (firstKey === 'Welcome' || firstKey === 'Error') {
    scanner.rewind(start);
    return greetingShape.read(scanner);
  }
  if (firstKey === 'event') {
    const event = readValue(scanner, { kind: 'json' }, 'event', 1) as JsonValue;
    for (let key = scanner.nextKey(false); key !== null; key = scanner.nextKey(false)) {
      if (key === 'event') throw scanner.error('duplicate_field', 'field event is given twice');
      scanner.skipValue();
    }
    return { type: 'event', event };
  }
  const envelope = readEnvelope(scanner, firstKey, 'response', v2ResponseShape.read);
  return 'error' in envelope
    ? { type: 'invalid_response', id: envelope.id, error: envelope.error }
    : { type: 'response', id: envelope.id, response: envelope.message };
}

function writeId(id: number): string {
  return writeValue(id, idShape, 'id', 1);
}

function writeOrigin(origin: RequestOrigin | undefined): string {
  return origin === undefined ? '' : `"origin":${writeValue(origin, originShape, 'origin', 1)},`;
}

function writeClientFrame(frame: ClientFrame): string {
  if (frame.type === 'Hello') return helloShape.write(frame);
  if (frame.type === 'request')
    return `{"id":${writeId(frame.id)},${writeOrigin(frame.origin)}"request":${v2RequestShape.write(frame.request)}}`;
  throw protocolError('unencodable', 'cannot encode a request that could not be decoded');
}

function writeServerFrame(frame: ServerFrame): string {
  switch (frame.type) {
    case 'response':
      return `{"id":${writeId(frame.id)},"response":${v2ResponseShape.write(frame.response)}}`;
    case 'event':
      return `{"event":${writeValue(frame.event, { kind: 'json' }, 'event', 1)}}`;
    case 'invalid_response':
      throw protocolError('unencodable', 'cannot encode a response that could not be decoded');
    default:
      return greetingShape.write(frame);
  }
}

/** Frames from client to server of version 2. Source: docs/protocol.md#version-2. */
export const clientFrameCodec: Codec<ClientFrame> = {
  encode: (frame) => encodeBody(writeClientFrame(frame)),
  decode: (bytes) => decodeBody(bytes, readClientFrame),
};

/** Frames from server to client of version 2. Source: docs/protocol.md#version-2. */
export const serverFrameCodec: Codec<ServerFrame> = {
  encode: (frame) => encodeBody(writeServerFrame(frame)),
  decode: (bytes) => decodeBody(bytes, readServerFrame),
};

/**
 * Decodes the first frame of a connection: an object whose first key is `Hello` opens version 2, anything else is a
 * version 1 request. Throws CodedError `protocol.*` for what is neither.
 */
export function decodeFirstFrame(bytes: Uint8Array): FirstFrame {
  return decodeBody(bytes, (scanner): FirstFrame => {
    const start = scanner.position;
    const isHello = openObjectQuietly(scanner) === 'Hello';
    scanner.rewind(start);
    return isHello
      ? { type: 'hello', hello: helloShape.read(scanner) }
      : { type: 'v1', request: v1RequestShape.read(scanner) };
  });
}

/** As `openObject`, for a look ahead: the version 1 reader reports what is wrong. */
function openObjectQuietly(scanner: JsonScanner): string | null | undefined {
  try {
    return openObject(scanner);
  } catch {
    return undefined;
  }
}
