/**
 * INVARIANTS
 * - Input may come in chunks of any size; what the handler gets does not depend on them.
 * - Memory is bounded: a header, one extended header up to its limit, and a sparse file's map.
 * - Whatever the archive claims, the handler gets no byte more than the archive has.
 */
import { badLayer, limitExceeded } from '../errors.js';
import type { ImageLimits } from '../limits.js';
import type { EntryKind, Segment, TarEntry, TarHandler } from './entry.js';
import { type Extended, readExtended } from './extended.js';
import { BLOCK_BYTES, decodeHeader, type RawHeader } from './header.js';
import { parseNumber } from './numbers.js';
import { type PaxRecord, parsePax } from './pax.js';
import { checkSegments, gnuSegments, paxSparse, SparseMapReader } from './sparse.js';

const KINDS: Readonly<Record<string, EntryKind>> = {
  '0': 'file',
  '\0': 'file',
  '7': 'file',
  S: 'file',
  '1': 'hardlink',
  '2': 'symlink',
  '3': 'char',
  '4': 'block',
  '5': 'directory',
  '6': 'fifo',
};

type State =
  | { readonly kind: 'header' }
  | { readonly kind: 'extended'; readonly type: string; readonly size: number }
  | {
      readonly kind: 'gnu-sparse';
      readonly header: RawHeader;
      readonly segments: Segment[];
      readonly size: number;
    }
  | { readonly kind: 'map'; readonly header: RawHeader; readonly reader: SparseMapReader; left: number }
  | { readonly kind: 'data'; left: number; padding: number }
  | { readonly kind: 'skip'; left: number; readonly isPadding: boolean }
  | { readonly kind: 'end' };

/** Reads a tar archive (ustar, pax, GNU, old) that is pushed in chunks, and tells a handler what it holds. */
export class TarReader {
  readonly #handler: TarHandler;
  readonly #limits: ImageLimits;
  #state: State = { kind: 'header' };
  /** What is not used up of the chunks before, when a whole block or header is needed. */
  #pending: Buffer[] = [];
  #pendingBytes = 0;
  #global: readonly PaxRecord[] = [];
  #records: PaxRecord[] = [];
  #longName: string | undefined;
  #longLink: string | undefined;
  #headerBytes = 0;

  constructor(handler: TarHandler, limits: ImageLimits) {
    this.#handler = handler;
    this.#limits = limits;
  }

  /** Takes the next bytes; they may be overwritten afterwards. Throws what the archive's faults deserve. */
  push(chunk: Buffer): void {
    let rest = chunk;
    while (rest.length > 0) {
      const state = this.#state;
      if (state.kind === 'end') return;
      if (state.kind === 'data' || state.kind === 'skip') {
        rest = this.#stream(state, rest);
        continue;
      }
      const wanted = state.kind === 'extended' ? padded(state.size) : BLOCK_BYTES;
      const lacking = wanted - this.#pendingBytes;
      const part = rest.subarray(0, lacking);
      rest = rest.subarray(part.length);
      if (part.length < lacking || this.#pendingBytes > 0) {
        this.#pending.push(part.length < lacking ? Buffer.from(part) : part);
        this.#pendingBytes += part.length;
        if (this.#pendingBytes < wanted) return;
      }
      const block = this.#pendingBytes > 0 ? Buffer.concat(this.#pending) : part;
      this.#pending = [];
      this.#pendingBytes = 0;
      this.#block(state, block);
    }
  }

  /**
   * To be called after the last chunk. Throws `image.bad_layer` when the archive is cut short. Its end marker may be missing,
   * and the padding of its last file too: umoci insert writes neither, and what is written in Go takes such archives.
   */
  end(): void {
    if (this.#state.kind === 'end' || (this.#state.kind === 'skip' && this.#state.isPadding)) return;
    if (this.#state.kind === 'header' && this.#pendingBytes === 0 && this.#headerBytes === 0) return;
    throw badLayer('it is cut short');
  }

  #stream(state: Extract<State, { kind: 'data' | 'skip' }>, chunk: Buffer): Buffer {
    const part = chunk.subarray(0, Math.min(state.left, chunk.length));
    if (state.kind === 'data' && part.length > 0) this.#handler.data(part);
    state.left -= part.length;
    if (state.left === 0) {
      if (state.kind === 'data') {
        this.#handler.endFile();
        this.#state =
          state.padding > 0 ? { kind: 'skip', left: state.padding, isPadding: true } : { kind: 'header' };
      } else this.#state = { kind: 'header' };
    }
    return chunk.subarray(part.length);
  }

  #block(state: Exclude<State, { kind: 'data' | 'skip' | 'end' }>, block: Buffer): void {
    switch (state.kind) {
      case 'header':
        this.#header(block);
        return;
      case 'extended':
        this.#extended(state.type, Buffer.from(block.subarray(0, state.size)));
        return;
      case 'gnu-sparse': {
        state.segments.push(...gnuSegments(block, 0, 21));
        this.#countHeader(BLOCK_BYTES);
        if (block[504] === 0) this.#begin(state.header, state.segments, state.size);
        return;
      }
      case 'map': {
        const segments = state.reader.push(block);
        state.left -= BLOCK_BYTES;
        if (segments !== undefined) this.#begin({ ...state.header, size: state.left }, segments, undefined);
        else if (state.left < BLOCK_BYTES) throw badLayer('the map of a sparse file is cut short');
        return;
      }
    }
  }

  #header(block: Buffer): void {
    const header = decodeHeader(block);
    if (header === undefined) {
      // One block of zeros ends the archive as well as two, and what is behind them does not count.
      if (this.#headerBytes > 0) throw badLayer('an extended header describes nothing');
      this.#state = { kind: 'end' };
      return;
    }
    const { type, size } = header;
    if (type === 'x' || type === 'g' || type === 'L' || type === 'K') {
      this.#countHeader(size);
      this.#state = size === 0 ? { kind: 'header' } : { kind: 'extended', type, size };
      return;
    }
    if (type === 'V') {
      this.#state = size === 0 ? { kind: 'header' } : { kind: 'skip', left: padded(size), isPadding: false };
      return;
    }
    if (type === 'S') {
      const segments = gnuSegments(block, 386, 4);
      const realSize = parseNumber(block.subarray(483, 495), 'the size of a sparse file');
      if (block[482] !== 0) this.#state = { kind: 'gnu-sparse', header, segments, size: realSize };
      else this.#begin(header, segments, realSize);
      return;
    }
    this.#begin(header, undefined, undefined);
  }

  #countHeader(bytes: number): void {
    this.#headerBytes += bytes;
    if (this.#headerBytes > this.#limits.maxHeaderBytes) {
      throw limitExceeded('headers of one entry, bytes', this.#limits.maxHeaderBytes);
    }
  }

  #extended(type: string, body: Buffer): void {
    this.#state = { kind: 'header' };
    if (type === 'x') this.#records.push(...parsePax(body));
    else if (type === 'g') {
      this.#global = [...this.#global, ...parsePax(body)].slice(-1000);
      this.#headerBytes = 0;
    } else {
      const zero = body.indexOf(0);
      const text = body.toString('latin1', 0, zero < 0 ? body.length : zero);
      if (type === 'L') this.#longName = text;
      else this.#longLink = text;
    }
  }

  /** All headers of an entry are there but for the map of a sparse file in format 1.0. */
  #begin(header: RawHeader, gnu: Segment[] | undefined, gnuSize: number | undefined): void {
    const records = this.#global.length === 0 ? this.#records : [...this.#global, ...this.#records];
    const extended: Extended = readExtended(records, this.#limits);
    const sparse = paxSparse(records);
    const kind = kindOf(header.type, extended.name ?? this.#longName ?? header.name);
    const isFile = kind === 'file';
    const fromMap = this.#state.kind === 'map';
    const size = fromMap ? header.size : (extended.size ?? header.size);
    if (isFile && sparse?.mapInData === true && !fromMap) {
      if (size < BLOCK_BYTES) throw badLayer('the map of a sparse file is missing');
      this.#state = { kind: 'map', header: { ...header, size }, reader: new SparseMapReader(), left: size };
      return;
    }
    const dataBytes = isFile ? size : 0;
    const map = gnu ?? (sparse === undefined || sparse.mapInData ? undefined : sparse.segments);
    const realSize = gnuSize ?? sparse?.realSize ?? dataBytes;
    const segments = isFile && map !== undefined ? checkSegments(map, realSize, dataBytes) : undefined;
    const apparent = isFile ? (segments === undefined ? dataBytes : realSize) : 0;
    if (apparent > this.#limits.maxFileBytes) {
      throw limitExceeded('one file, apparent bytes', this.#limits.maxFileBytes);
    }
    this.#handler.entry(this.#entry(header, extended, kind, apparent, segments));
    this.#records = [];
    this.#longName = undefined;
    this.#longLink = undefined;
    this.#headerBytes = 0;
    const padding = padded(dataBytes) - dataBytes;
    this.#state = dataBytes > 0 ? { kind: 'data', left: dataBytes, padding } : { kind: 'header' };
    if (isFile && dataBytes === 0) this.#handler.endFile();
  }

  #entry(
    header: RawHeader,
    extended: Extended,
    kind: EntryKind,
    size: number,
    segments: readonly Segment[] | undefined,
  ): TarEntry {
    return {
      name: extended.name ?? this.#longName ?? header.name,
      kind,
      linkName: extended.linkName ?? this.#longLink ?? header.linkName,
      mode: header.mode,
      uid: id(extended.uid ?? header.uid),
      gid: id(extended.gid ?? header.gid),
      mtimeSec: extended.mtime?.sec ?? header.mtimeSec,
      mtimeNsec: extended.mtime?.nsec ?? 0,
      size,
      segments,
      deviceMajor: header.deviceMajor,
      deviceMinor: header.deviceMinor,
      xattrs: extended.xattrs,
    };
  }
}

function kindOf(type: string, name: string): EntryKind {
  const kind = KINDS[type];
  if (kind === undefined) throw badLayer(`it holds an entry of unknown type ${JSON.stringify(type)}`);
  // Archives from before directories had a type.
  return kind === 'file' && name.endsWith('/') ? 'directory' : kind;
}

function id(value: number): number {
  if (value < 0 || value >= 0xffffffff) throw badLayer(`an owner or group is out of range: ${value}`);
  return value;
}

function padded(bytes: number): number {
  return Math.ceil(bytes / BLOCK_BYTES) * BLOCK_BYTES;
}
