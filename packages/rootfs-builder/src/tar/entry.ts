/** What an entry of an archive is. */
export type EntryKind = 'file' | 'directory' | 'symlink' | 'hardlink' | 'char' | 'block' | 'fifo';

/** A stretch of a sparse file that holds data; the rest is a hole. Bytes. */
export interface Segment {
  readonly offset: number;
  readonly length: number;
}

/** An entry's description. Texts have one character per byte (latin1), so that no name is lost. */
export interface TarEntry {
  readonly name: string;
  readonly kind: EntryKind;
  readonly linkName: string;
  /** Permission, set-id and sticky bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Seconds since the epoch, possibly negative. */
  readonly mtimeSec: number;
  /** 0 to 999 999 999. */
  readonly mtimeNsec: number;
  /** Apparent size of a file in bytes, holes included; 0 for everything else. */
  readonly size: number;
  /** Ascending and apart from each other; undefined: the file has no holes. */
  readonly segments: readonly Segment[] | undefined;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** By full name, e.g. `security.capability`. */
  readonly xattrs: ReadonlyMap<string, Buffer>;
}

/** Receives what an archive holds, in its order. */
export interface TarHandler {
  entry(entry: TarEntry): void;
  /** Content of the last file; of a sparse one only its segments, one after the other. */
  data(chunk: Buffer): void;
  /** The content of the file is complete. */
  endFile(): void;
}
