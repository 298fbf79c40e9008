import { CodedError } from '@mvm/protocol';

/** `invalid_argument`, reason `image.bad_layer`: a layer is no tar archive that an image may consist of. */
export function badLayer(what: string, details: Record<string, string | number> = {}): CodedError {
  return new CodedError({
    code: 'invalid_argument',
    reason: 'image.bad_layer',
    message: `the layer cannot be used: ${what}`,
    details,
    hint: 'build the image again; if it came from elsewhere, tell its maker',
  });
}

/** `invalid_argument`, reason `image.limit_exceeded`. */
export function limitExceeded(what: string, limit: number): CodedError {
  return new CodedError({
    code: 'invalid_argument',
    reason: 'image.limit_exceeded',
    message: `the image is too large: ${what} (limit ${limit})`,
    details: { limit },
    hint: 'make the image smaller; --max-size raises the limit of its bytes',
  });
}

/** `invalid_argument`, reason `image.bad_digest`: content is not what its digest says. */
export function badDigest(what: string, wanted: string, found: string): CodedError {
  return new CodedError({
    code: 'invalid_argument',
    reason: 'image.bad_digest',
    message: `${what} does not have its digest: ${found} instead of ${wanted}`,
    details: { wanted, found },
    hint: 'the image was damaged or changed on its way; fetch it again',
  });
}

/** A name as it may stand in a message: printable, at most 120 characters. `name` has one character per byte. */
export function shown(name: string): string {
  const text = Buffer.from(name.slice(0, 120), 'latin1').toString('utf8');
  return JSON.stringify(name.length > 120 ? `${text}…` : text);
}
