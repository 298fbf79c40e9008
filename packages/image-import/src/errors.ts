import { CodedError } from '@mvm/protocol';

/** `invalid_argument`, reason `image.invalid_source`. */
export function invalidSource(source: string, what: string): CodedError {
  return new CodedError({
    code: 'invalid_argument',
    reason: 'image.invalid_source',
    message: `${JSON.stringify(source.slice(0, 200))} is not a source of images: ${what}`,
    details: { source: source.slice(0, 200) },
    hint: 'write oci:<directory>[:<ref>], oci-archive:<file>[:<ref>], docker-archive:<file>[:<ref>] or docker://<registry>/<name>[:<tag>]',
  });
}

/** `not_found`, reason `image.source_not_found`. */
export function sourceNotFound(source: string, what: string): CodedError {
  return new CodedError({
    code: 'not_found',
    reason: 'image.source_not_found',
    message: `${source}: ${what}`,
    details: { source },
    hint: 'check the source with: skopeo inspect <source>',
  });
}

/** `invalid_argument`, reason `image.bad_layout`. */
export function badLayout(what: string): CodedError {
  return new CodedError({
    code: 'invalid_argument',
    reason: 'image.bad_layout',
    message: `the image cannot be read: ${what}`,
    hint: 'check the source with: skopeo inspect <source>; if it came from elsewhere, tell its maker',
  });
}

/** `unimplemented`, reason `image.unsupported`. */
export function unsupported(what: string): CodedError {
  return new CodedError({
    code: 'unimplemented',
    reason: 'image.unsupported',
    message: `the image cannot be used: ${what}`,
    hint: 'images for linux/amd64 with tar layers, plain or packed with gzip or zstd, can be imported',
  });
}

/** `invalid_argument`, reason `image.bad_config`: the image's configuration cannot be used. */
export function badConfig(what: string, hint: string): CodedError {
  return new CodedError({
    code: 'invalid_argument',
    reason: 'image.bad_config',
    message: `the image's configuration cannot be used: ${what}`,
    hint,
  });
}
