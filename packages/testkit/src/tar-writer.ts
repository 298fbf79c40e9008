/** A stretch of data of a sparse file. */
export interface SparseData {
  readonly offset: number;
  readonly data: Buffer;
}

/** An entry as a test wants it in a layer; whatever is absent is root's, 0644 or 0755, of the second 1. */
export interface TarSpec {
  /** One character per byte. */
  readonly name: string;
  readonly type?: 'file' | 'directory' | 'symlink' | 'hardlink' | 'char' | 'block' | 'fifo';
  readonly data?: Buffer | string;
  readonly linkName?: string;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** Decimal seconds. */
  readonly mtime?: string;
  readonly device?: readonly [major: number, minor: number];
  readonly xattrs?: Readonly<Record<string, Buffer | string>>;
  /** Records of the extended header, as they are. */
  readonly pax?: readonly (readonly [key: string, value: string | Buffer])[];
  readonly sparse?: {
    readonly format: 'pax-0.0' | 'pax-0.1' | 'pax-1.0' | 'gnu';
    readonly size: number;
    readonly segments: readonly SparseData[];
  };
  /** What the header claims; by default the truth. */
  readonly claimedSize?: number;
}

const TYPES = { file: '0', hardlink: '1', symlink: '2', char: '3', block: '4', directory: '5', fifo: '6' };

/** A tar archive with these entries in this order. It is written here, so that a test can have what no tool writes. */
export function writeTar(entries: readonly TarSpec[]): Buffer {
  return Buffer.concat([...entries.map(entryOf), Buffer.alloc(1024)]);
}

function entryOf(spec: TarSpec): Buffer {
  const type = spec.type ?? 'file';
  const pax: (readonly [string, string | Buffer])[] = [...(spec.pax ?? [])];
  for (const [name, value] of Object.entries(spec.xattrs ?? {})) pax.push([`SCHILY.xattr.${name}`, value]);
  let data: Buffer = Buffer.from(spec.data ?? '');
  let extra: Buffer = Buffer.alloc(0);
  let typeFlag = TYPES[type];
  let gnu: Buffer | undefined;
  const { sparse } = spec;
  if (sparse !== undefined) {
    data = Buffer.concat(sparse.segments.map((segment) => segment.data));
    const numbers = sparse.segments.flatMap((segment) => [segment.offset, segment.data.length]);
    if (sparse.format === 'pax-0.0') {
      pax.push(
        ['GNU.sparse.size', String(sparse.size)],
        ['GNU.sparse.numblocks', String(sparse.segments.length)],
      );
      for (const segment of sparse.segments) {
        pax.push(['GNU.sparse.offset', String(segment.offset)]);
        pax.push(['GNU.sparse.numbytes', String(segment.data.length)]);
      }
    } else if (sparse.format === 'pax-0.1') {
      pax.push(['GNU.sparse.size', String(sparse.size)], ['GNU.sparse.name', spec.name]);
      pax.push(
        ['GNU.sparse.numblocks', String(sparse.segments.length)],
        ['GNU.sparse.map', numbers.join(',')],
      );
    } else if (sparse.format === 'pax-1.0') {
      pax.push(['GNU.sparse.major', '1'], ['GNU.sparse.minor', '0'], ['GNU.sparse.name', spec.name]);
      pax.push(['GNU.sparse.realsize', String(sparse.size)]);
      const map = padded(Buffer.from([sparse.segments.length, ...numbers].map((n) => `${n}\n`).join('')));
      data = Buffer.concat([map, data]);
    } else {
      typeFlag = 'S';
      gnu = Buffer.alloc(0);
    }
  }
  let { name, linkName = '' } = spec;
  if (sparse?.format === 'pax-1.0' || sparse?.format === 'pax-0.1') name = 'GNUSparseFile.1/placeholder';
  if (name.length > 100) {
    pax.push(['path', Buffer.from(name, 'latin1')]);
    name = name.slice(0, 100);
  }
  if (linkName.length > 100) {
    pax.push(['linkpath', Buffer.from(linkName, 'latin1')]);
    linkName = linkName.slice(0, 100);
  }
  const uid = spec.uid ?? 0;
  const gid = spec.gid ?? 0;
  if (uid > 0o7777777) pax.push(['uid', String(uid)]);
  if (gid > 0o7777777) pax.push(['gid', String(gid)]);
  const mtime = spec.mtime ?? '1';
  const seconds = Number(mtime.split('.')[0]);
  if (mtime.includes('.') || seconds < 0 || seconds > 0o77777777777) pax.push(['mtime', mtime]);
  const header = headerOf({
    name,
    linkName,
    typeFlag,
    mode: spec.mode ?? (type === 'directory' ? 0o755 : 0o644),
    uid: uid > 0o7777777 ? 0 : uid,
    gid: gid > 0o7777777 ? 0 : gid,
    size: spec.claimedSize ?? (type === 'file' ? data.length : 0),
    mtime: Math.max(0, Math.min(seconds, 0o77777777777)),
    device: spec.device ?? [0, 0],
  });
  if (gnu !== undefined && sparse !== undefined) extra = addGnuMap(header, sparse);
  return Buffer.concat([paxOf(pax), header, extra, padded(data)]);
}

function paxOf(records: readonly (readonly [string, string | Buffer])[]): Buffer {
  if (records.length === 0) return Buffer.alloc(0);
  const body = Buffer.concat(
    records.map(([key, value]) => {
      const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value as Buffer), Buffer.from('\n')]);
      let length = rest.length;
      while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
      return Buffer.concat([Buffer.from(String(length)), rest]);
    }),
  );
  const fields = { name: 'PaxHeaders/0', linkName: '', typeFlag: 'x', mode: 0o644, uid: 0, gid: 0, mtime: 0 };
  return Buffer.concat([headerOf({ ...fields, size: body.length, device: [0, 0] }), padded(body)]);
}

interface HeaderFields {
  readonly name: string;
  readonly linkName: string;
  readonly typeFlag: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  readonly device: readonly [number, number];
}

function headerOf(fields: HeaderFields): Buffer {
  const header = Buffer.alloc(512);
  const octal = (value: number, at: number, length: number): void => {
    header.write(value.toString(8).padStart(length - 1, '0'), at, 'latin1');
  };
  header.write(fields.name, 0, 'latin1');
  octal(fields.mode, 100, 8);
  octal(fields.uid, 108, 8);
  octal(fields.gid, 116, 8);
  octal(fields.size, 124, 12);
  octal(fields.mtime, 136, 12);
  header.write(fields.typeFlag, 156, 'latin1');
  header.write(fields.linkName, 157, 'latin1');
  header.write(fields.typeFlag === 'S' ? 'ustar  \0' : 'ustar\x0000', 257, 'latin1');
  octal(fields.device[0], 329, 8);
  octal(fields.device[1], 337, 8);
  return checksummed(header);
}

function checksummed(header: Buffer): Buffer {
  header.write('        ', 148, 'latin1');
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

/** Old GNU sparse: four stretches in the header, 21 in each block behind it. */
function addGnuMap(header: Buffer, sparse: NonNullable<TarSpec['sparse']>): Buffer {
  const { segments, size } = sparse;
  const put = (block: Buffer, at: number, segment: SparseData): void => {
    block.write(segment.offset.toString(8).padStart(11, '0'), at, 'latin1');
    block.write(segment.data.length.toString(8).padStart(11, '0'), at + 12, 'latin1');
  };
  segments.slice(0, 4).forEach((segment, index) => {
    put(header, 386 + 24 * index, segment);
  });
  header.write(size.toString(8).padStart(11, '0'), 483, 'latin1');
  if (segments.length > 4) header[482] = 1;
  checksummed(header);
  const blocks: Buffer[] = [];
  for (let at = 4; at < segments.length; at += 21) {
    const block = Buffer.alloc(512);
    segments.slice(at, at + 21).forEach((segment, index) => {
      put(block, 24 * index, segment);
    });
    if (at + 21 < segments.length) block[504] = 1;
    blocks.push(block);
  }
  return Buffer.concat(blocks);
}

function padded(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc((512 - (data.length % 512)) % 512)]);
}
