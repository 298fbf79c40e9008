import { type Codec, decodeBody, encodeBody } from '../codec.js';
import { compileTagged, type TaggedShape } from '../json/tagged-shape.js';
import type { Tagged } from '../tagged.js';
import { UNSUPPORTED_FIELDS, v1RequestSchemas, v1ResponseSchemas } from './schemas.js';

/** A request of version 1 in memory. */
export type V1Request = Tagged<typeof v1RequestSchemas>;
/** A response of version 1 in memory. */
export type V1Response = Tagged<typeof v1ResponseSchemas>;

/** The codec of one compiled table. */
export function taggedCodec<M extends { readonly type: string }>(shape: TaggedShape<M>): Codec<M> {
  return {
    encode: (message) => encodeBody(shape.write(message)),
    decode: (bytes) => decodeBody(bytes, shape.read),
  };
}

/** Reads and writes version 1 requests. */
export const v1RequestShape = compileTagged(v1RequestSchemas, UNSUPPORTED_FIELDS);
const v1ResponseShape = compileTagged(v1ResponseSchemas);

/**
 * Requests of version 1: what it writes and accepts agrees with a serde peer, byte for byte; structs as JSON arrays are
 * refused. Strings are any text: ids and networks are checked by whoever uses them. Source: docs/protocol.md#version-1.
 */
export const v1RequestCodec: Codec<V1Request> = taggedCodec(v1RequestShape);
/** Responses of version 1: an Error keeps its message only. Source: docs/protocol.md#version-1. */
export const v1ResponseCodec: Codec<V1Response> = taggedCodec(v1ResponseShape);
