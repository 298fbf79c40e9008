import type { ImageLimits } from '../limits.js';

/** How a layer is packed. */
export type Compression = 'none' | 'gzip' | 'zstd';

/** One layer, to be read from a descriptor that the worker inherits. */
export interface LayerJob {
  readonly fd: number;
  readonly compression: Compression;
  /** `sha256:<hex>` or `sha512:<hex>` of the file as it is. */
  readonly digest: string;
  readonly sizeBytes: number;
  /** Digest of the archive in it. */
  readonly diffId: string;
}

/** The input of the worker, one line of JSON on its standard input. */
export interface BuildJob {
  /** Lowest layer first. */
  readonly layers: readonly LayerJob[];
  /** Open for reading and writing, empty. */
  readonly outputFd: number;
  /** 32 hex digits. */
  readonly uuid: string;
  readonly limits: ImageLimits;
  /** The user and group to become, when the worker is root. */
  readonly runAs: number | null;
}

/** Progress: bytes of packed layers read. */
export interface BuildProgress {
  readonly layer: number;
  readonly layers: number;
  readonly doneBytes: number;
  readonly totalBytes: number;
}

/** A finished root file system, and what of its content decides how it runs. */
export interface BuiltRootfs {
  readonly sizeBytes: number;
  /** Files, directories and so on, a hard-linked file once. */
  readonly inodes: number;
  /** Content of /etc/passwd and /etc/group; null when there is none. */
  readonly passwd: string | null;
  readonly group: string | null;
  /** Names of extended attributes that were left out, because a Linux file system has no place for them. */
  readonly droppedXattrs: readonly string[];
  /** Largest resident size of the worker, bytes. */
  readonly maxRssBytes: number;
}
