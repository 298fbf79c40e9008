import type { TarSpec } from './tar-writer.js';

/** What must be found at a path; only what is named is compared. */
export interface ExpectedEntry {
  readonly type: 'file' | 'directory' | 'symlink' | 'char' | 'block' | 'fifo';
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  /** `seconds.nanoseconds`, the latter with nine digits. */
  readonly mtime?: string;
  readonly size?: number;
  /** The first and the last 64 KiB of it are compared. */
  readonly content?: Buffer | string;
  readonly target?: string;
  readonly device?: readonly [number, number];
  readonly links?: number;
  /** All of them. */
  readonly xattrs?: Readonly<Record<string, Buffer | string>>;
  /** Path of the case that is the same file. */
  readonly sameAs?: string;
}

/** One rule of the specification, as layers and what they come to; names are below the case's own directory. */
export interface LayerCase {
  readonly name: string;
  /** Lowest first; at most three. */
  readonly layers: readonly (readonly TarSpec[])[];
  /** Every path but the case's directory itself; one character per byte. */
  readonly expected: Readonly<Record<string, ExpectedEntry>>;
}

const file = (name: string, data = name, more: Partial<TarSpec> = {}): TarSpec => ({ name, data, ...more });
const dir = (name: string, more: Partial<TarSpec> = {}): TarSpec => ({ name, type: 'directory', ...more });
const link = (name: string, linkName: string): TarSpec => ({ name, type: 'symlink', linkName });
const hard = (name: string, linkName: string): TarSpec => ({ name, type: 'hardlink', linkName });
const isFile = (content: string, more: Partial<ExpectedEntry> = {}): ExpectedEntry => ({
  type: 'file',
  content,
  ...more,
});
const isDir: ExpectedEntry = { type: 'directory' };
const everyKind = (prefix: string): TarSpec[] => [
  file(`${prefix}file`),
  dir(`${prefix}dir`),
  file(`${prefix}dir/inner`),
  link(`${prefix}link`, 'file'),
  { name: `${prefix}fifo`, type: 'fifo' },
  { name: `${prefix}char`, type: 'char', device: [5, 1] },
  { name: `${prefix}block`, type: 'block', device: [7, 0] },
  hard(`${prefix}hard`, `${prefix}file`),
];
const KINDS = ['file', 'dir', 'link', 'fifo', 'char', 'block', 'hard'];
const wh = (name: string): TarSpec => file(name.replace(/([^/]+)$/, '.wh.$1'), '');
const opaque = (name: string): TarSpec => file(`${name}.wh..wh..opq`, '');
const MIB = 2 ** 20;
const data = (length: number, seed: number): Buffer => Buffer.alloc(length, `${seed} and more `);
const segments = [
  { offset: 0, data: data(4096, 1) },
  { offset: 65536, data: data(512, 2) },
  { offset: 5 * MIB, data: data(10_000, 3) },
  { offset: 6 * MIB, data: data(4096, 4) },
  { offset: 7 * MIB, data: data(100, 5) },
  { offset: 8 * MIB + 77, data: data(5, 6) },
];
const sparseContent = (): Buffer => {
  const content = Buffer.alloc(9 * MIB);
  for (const segment of segments) segment.data.copy(content, segment.offset);
  return content;
};
const sparse = (format: NonNullable<TarSpec['sparse']>['format']): TarSpec => ({
  name: format,
  sparse: { format, size: 9 * MIB, segments },
});
/** VFS capability, revision 2: cap_net_raw, permitted and effective. Source: Linux, linux/capability.h. */
const CAPABILITY = Buffer.from('0100000200200000000000000000000000000000', 'hex');
/** user::rwx, user:1234:r-x, group::r-x, mask::r-x, other::---. Source: Linux, linux/posix_acl_xattr.h. */
const ACL = Buffer.from(
  '02000000' +
    '01000700ffffffff' +
    '02000500d2040000' +
    '04000500ffffffff' +
    '10000500ffffffff' +
    '20000000ffffffff',
  'hex',
);
const LATIN1 = 'caf\xe9-\xff\x01';
const LONG = 'n'.repeat(255);

/** Hard layers. Source of what is expected: OCI image specification 1.1, layer.md; pax(1); GNU tar manual. */
export const LAYER_CASES: readonly LayerCase[] = [
  {
    name: 'whiteouts hide every kind of entry of lower layers',
    layers: [[...everyKind(''), file('stays')], KINDS.map(wh)],
    expected: { stays: isFile('stays') },
  },
  {
    name: 'an opaque directory hides what is below it and keeps its own new entries, in any order',
    layers: [
      [dir('a'), ...everyKind('a/'), dir('b'), ...everyKind('b/')],
      [dir('a', { mode: 0o700 }), file('a/new'), opaque('a/'), dir('b'), opaque('b/'), file('b/new')],
    ],
    expected: {
      a: { type: 'directory', mode: 0o700 },
      'a/new': isFile('a/new'),
      b: isDir,
      'b/new': isFile('b/new'),
    },
  },
  {
    name: 'a whiteout does not touch what its own layer brings',
    layers: [
      [file('x', 'old'), dir('d'), file('d/old')],
      [file('x', 'new'), wh('x'), wh('d'), dir('d', { uid: 7 }), file('d/new')],
    ],
    expected: { x: isFile('new'), d: { type: 'directory', uid: 7 }, 'd/new': isFile('d/new') },
  },
  {
    name: 'a whiteout of what is not there, or below what is not there, does nothing',
    layers: [[file('a')], [wh('b'), wh('c/d'), wh('a/b')]],
    expected: { a: isFile('a') },
  },
  {
    name: 'whiteouts of three layers: what came back stays',
    layers: [[file('a', '1')], [wh('a')], [file('a', '3')]],
    expected: { a: isFile('3', { links: 1 }) },
  },
  {
    name: 'a directory is merged, its last description holds, and its time is not that of its new entries',
    layers: [
      [dir('d', { mode: 0o700, uid: 1, mtime: '100', xattrs: { 'user.a': '1' } }), file('d/one')],
      [dir('d', { mode: 0o1777, uid: 2, gid: 3, mtime: '200.000000001' }), file('d/two')],
      [file('d/three')],
    ],
    expected: {
      d: { type: 'directory', mode: 0o1777, uid: 2, gid: 3, mtime: '200.000000001', xattrs: {} },
      'd/one': isFile('d/one'),
      'd/two': isFile('d/two'),
      'd/three': isFile('d/three'),
    },
  },
  {
    name: 'a directory is replaced by a link, a link by a directory, a file by a directory and back',
    layers: [
      [dir('other'), dir('d'), file('d/in'), link('l', 'other'), file('f'), dir('g'), file('g/in')],
      [link('d', 'other'), dir('l'), file('l/in'), dir('f'), file('f/in'), file('g', 'now a file')],
    ],
    expected: {
      other: isDir,
      d: { type: 'symlink', target: 'other' },
      l: isDir,
      'l/in': isFile('l/in'),
      f: isDir,
      'f/in': isFile('f/in'),
      g: isFile('now a file'),
    },
  },
  {
    name: 'an entry below a link that a lower layer made lands where the link leads',
    layers: [
      [dir('real'), link('alias', 'real'), link('up', './alias/../real')],
      [file('alias/one'), file('up/two')],
    ],
    expected: {
      real: isDir,
      alias: { type: 'symlink', target: 'real' },
      up: { type: 'symlink', target: './alias/../real' },
      'real/one': isFile('alias/one'),
      'real/two': isFile('up/two'),
    },
  },
  {
    name: 'hard links across layers, before their target, to a link, and after a change of one name',
    layers: [
      [
        file('a', 'shared'),
        hard('early', 'late'),
        file('late', 'late'),
        link('s', 'a'),
        hard('t', 's'),
        file('c', 'c'),
      ],
      [hard('b', 'a'), hard('sub/c2', 'c')],
      [file('c', 'changed')],
    ],
    expected: {
      a: isFile('shared', { links: 2 }),
      b: isFile('shared', { sameAs: 'a' }),
      early: isFile('late', { sameAs: 'late', links: 2 }),
      late: isFile('late'),
      s: { type: 'symlink', target: 'a', links: 2 },
      t: { type: 'symlink', target: 'a', sameAs: 's' },
      c: isFile('changed', { links: 1 }),
      sub: isDir,
      'sub/c2': isFile('c', { links: 1 }),
    },
  },
  {
    name: 'of two entries of one name the last one holds',
    layers: [
      [
        file('f', 'first', { mode: 0o600 }),
        file('f', 'second', { mode: 0o640 }),
        dir('d', { mode: 0o755 }),
        file('d/x'),
        dir('d', { mode: 0o700 }),
      ],
    ],
    expected: {
      f: isFile('second', { mode: 0o640, size: 6 }),
      d: { type: 'directory', mode: 0o700 },
      'd/x': isFile('d/x'),
    },
  },
  {
    name: 'sparse files in all forms',
    layers: [
      [
        sparse('pax-0.0'),
        sparse('pax-0.1'),
        sparse('pax-1.0'),
        sparse('gnu'),
        { name: 'hole', sparse: { format: 'pax-1.0', size: 3 * MIB, segments: [] } },
        {
          name: 'huge',
          sparse: {
            format: 'pax-1.0',
            size: 10 * 1024 * MIB,
            segments: [{ offset: 10 * 1024 * MIB - 3, data: Buffer.from('end') }],
          },
        },
      ],
    ],
    expected: {
      ...Object.fromEntries(
        ['pax-0.0', 'pax-0.1', 'pax-1.0', 'gnu'].map((name) => [
          name,
          { type: 'file', size: 9 * MIB, content: sparseContent() } as const,
        ]),
      ),
      hole: { type: 'file', size: 3 * MIB, content: Buffer.alloc(3 * MIB) },
      huge: { type: 'file', size: 10 * 1024 * MIB },
    },
  },
  {
    name: 'extended attributes, capabilities and access control lists',
    layers: [
      [
        file('caps', 'x', { mode: 0o755, xattrs: { 'security.capability': CAPABILITY } }),
        file('user', 'x', {
          xattrs: { 'user.a': 'with = and\nline', 'user.binary': Buffer.from([0, 255, 10]) },
        }),
        file('long', 'x', { xattrs: { 'user.long': data(3000, 9), 'user.longer': data(20_000, 8) } }),
        file('acl', 'x', { mode: 0o750, xattrs: { 'system.posix_acl_access': ACL } }),
        file('acl-text', 'x', {
          mode: 0o750,
          pax: [['SCHILY.acl.access', 'user::rwx,user:who:r-x:1234,group::r-x,mask::r-x,other::---']],
        }),
        dir('default', {
          pax: [['SCHILY.acl.default', 'user::rwx,user:1234:r-x,group::r-x,mask::r-x,other::---']],
        }),
        file('libarchive', 'x', {
          pax: [['LIBARCHIVE.xattr.user.b%3d', Buffer.from('value').toString('base64')]],
        }),
        dir('overlay', { xattrs: { 'trusted.overlay.opaque': 'y', 'trusted.other': 't' } }),
        file('overlay/in', 'x'),
      ],
    ],
    expected: {
      caps: { type: 'file', xattrs: { 'security.capability': CAPABILITY } },
      user: {
        type: 'file',
        xattrs: { 'user.a': 'with = and\nline', 'user.binary': Buffer.from([0, 255, 10]) },
      },
      long: { type: 'file', xattrs: { 'user.long': data(3000, 9), 'user.longer': data(20_000, 8) } },
      acl: { type: 'file', mode: 0o750, xattrs: { 'system.posix_acl_access': ACL } },
      'acl-text': { type: 'file', xattrs: { 'system.posix_acl_access': ACL } },
      default: { type: 'directory', xattrs: { 'system.posix_acl_default': ACL } },
      libarchive: { type: 'file', xattrs: { 'user.b=': 'value' } },
      overlay: { type: 'directory', xattrs: { 'trusted.other': 't' } },
      'overlay/in': isFile('x'),
    },
  },
  {
    name: 'devices, set-id and sticky bits, and no permissions at all',
    layers: [
      [
        { name: 'null', type: 'char', device: [1, 3], mode: 0o666 },
        { name: 'big', type: 'block', device: [259, 70_000], mode: 0o660, gid: 6 },
        { name: 'fifo', type: 'fifo', mode: 0o600 },
        file('setuid', 'x', { mode: 0o4755, uid: 1234, gid: 5678 }),
        file('setgid', 'x', { mode: 0o2755 }),
        file('both', 'x', { mode: 0o6755, uid: 9 }),
        dir('sticky', { mode: 0o1777 }),
        dir('setgid-dir', { mode: 0o2775 }),
        file('none', 'x', { mode: 0 }),
        dir('none-dir', { mode: 0 }),
        file('none-dir/in', 'x'),
      ],
    ],
    expected: {
      null: { type: 'char', device: [1, 3], mode: 0o666 },
      big: { type: 'block', device: [259, 70_000], mode: 0o660, gid: 6 },
      fifo: { type: 'fifo', mode: 0o600 },
      setuid: { type: 'file', mode: 0o4755, uid: 1234, gid: 5678 },
      setgid: { type: 'file', mode: 0o2755 },
      both: { type: 'file', mode: 0o6755, uid: 9 },
      sticky: { type: 'directory', mode: 0o1777 },
      'setgid-dir': { type: 'directory', mode: 0o2775 },
      none: isFile('x', { mode: 0 }),
      'none-dir': { type: 'directory', mode: 0 },
      'none-dir/in': isFile('x'),
    },
  },
  {
    name: 'owners above 65535, times before 1970, with nanoseconds and in 2100',
    layers: [
      [
        file('owner', 'x', { uid: 70_000, gid: 4_294_967_290 }),
        file('nano', 'x', { mtime: '1700000000.123456789' }),
        file('late', 'x', { mtime: '4102488000.5' }),
        file('early', 'x', { mtime: '-1.25' }),
        dir('dir', { mtime: '4102488000.000000007' }),
        file('dir/in', 'x'),
        { ...link('link', 'nowhere'), mtime: '4102488000.25', uid: 70_000 },
      ],
    ],
    expected: {
      owner: { type: 'file', uid: 70_000, gid: 4_294_967_290 },
      nano: { type: 'file', mtime: '1700000000.123456789' },
      late: { type: 'file', mtime: '4102488000.500000000' },
      early: { type: 'file', mtime: '-2.750000000' },
      dir: { type: 'directory', mtime: '4102488000.000000007' },
      'dir/in': isFile('x'),
      link: { type: 'symlink', target: 'nowhere', mtime: '4102488000.250000000', uid: 70_000 },
    },
  },
  {
    name: 'names of 255 bytes, not UTF-8, with spaces and line breaks, and long links',
    layers: [
      [
        file(LONG, 'x'),
        file(LATIN1, 'x'),
        file(' a\nb ', 'x'),
        dir(`${LONG.slice(1)}d`),
        file(`${LONG.slice(1)}d/${LONG}`, 'deep'),
        link('long-link', 't'.repeat(4000)),
        link('odd-link', LATIN1),
        file('.wh', 'no whiteout'),
        file('a.wh.b', 'no whiteout'),
      ],
    ],
    expected: {
      [LONG]: isFile('x'),
      [LATIN1]: isFile('x'),
      ' a\nb ': isFile('x'),
      [`${LONG.slice(1)}d`]: isDir,
      [`${LONG.slice(1)}d/${LONG}`]: isFile('deep'),
      'long-link': { type: 'symlink', target: 't'.repeat(4000) },
      'odd-link': { type: 'symlink', target: LATIN1 },
      '.wh': isFile('no whiteout'),
      'a.wh.b': isFile('no whiteout'),
    },
  },
  {
    name: 'missing parents are root’s, of the epoch; absolute names and dots mean the root of the image',
    layers: [[file('p/q/r', 'x'), file('./p/./s', 'x')]],
    expected: {
      p: { type: 'directory', mode: 0o755, uid: 0, mtime: '0.000000000' },
      'p/q': { type: 'directory', mode: 0o755 },
      'p/q/r': isFile('x'),
      'p/s': isFile('x'),
    },
  },
  {
    name: 'content of every size around a block',
    layers: [
      [0, 1, 4095, 4096, 4097, 8192, 100_000].map((size) =>
        file(`s${size}`, data(size, size).toString('latin1')),
      ),
    ],
    expected: Object.fromEntries(
      [0, 1, 4095, 4096, 4097, 8192, 100_000].map((size) => [
        `s${size}`,
        { type: 'file', size, content: data(size, size) } as const,
      ]),
    ),
  },
  {
    name: 'a directory of many names',
    layers: [
      Array.from({ length: 600 }, (_, index) =>
        file(`many/${index.toString(36)}-${'y'.repeat(index % 60)}`, ''),
      ),
    ],
    expected: {
      many: isDir,
      ...Object.fromEntries(
        Array.from({ length: 600 }, (_, index) => [
          `many/${index.toString(36)}-${'y'.repeat(index % 60)}`,
          { type: 'file', size: 0 } as const,
        ]),
      ),
    },
  },
];

/** Layers of all cases as one image: each case in the directory `<root>/<number>`. An empty layer stands between. */
export function corpusLayers(root: string): TarSpec[][] {
  const layers: TarSpec[][] = [[], [], []];
  LAYER_CASES.forEach(({ layers: own }, number) => {
    const place = (path: string): string => `${root}/${number}/${path}`;
    layers[0]?.push({ name: place(''), type: 'directory' });
    own.forEach((entries, layer) => {
      for (const entry of entries) {
        layers[layer]?.push({
          ...entry,
          name: place(entry.name),
          ...(entry.type === 'hardlink' ? { linkName: place(entry.linkName ?? '') } : {}),
        });
      }
    });
  });
  return layers.flatMap((layer, index) => (index === 0 ? [layer] : [[], layer]));
}
