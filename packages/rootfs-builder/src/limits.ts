/** What an image may cost. Every limit has an error of its own text, reason `image.limit_exceeded`. */
export interface ImageLimits {
  /** Bytes of file content that the image may hold, and of all layers unpacked. */
  readonly maxBytes: number;
  /** Apparent size of one file in bytes; a sparse file may be larger than `maxBytes`. */
  readonly maxFileBytes: number;
  /** Entries of all layers together. */
  readonly maxEntries: number;
  /** Directories above one entry. */
  readonly maxDepth: number;
  readonly maxLayers: number;
  /** Bytes of extended headers (names, xattrs) before one entry. */
  readonly maxHeaderBytes: number;
  /** Bytes of one file's extended attributes, names included. */
  readonly maxXattrBytes: number;
}

export const DEFAULT_LIMITS: ImageLimits = {
  maxBytes: 32 * 2 ** 30,
  maxFileBytes: 8 * 2 ** 40,
  maxEntries: 2_000_000,
  maxDepth: 256,
  maxLayers: 127,
  maxHeaderBytes: 1024 * 1024,
  maxXattrBytes: 128 * 1024,
};

/** Longest name and longest path, in bytes. Source: Linux, limits.h (NAME_MAX, PATH_MAX). */
export const NAME_MAX = 255;
export const PATH_MAX = 4095;
