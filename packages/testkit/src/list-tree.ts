import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { ExpectedEntry } from './layer-corpus.js';

const SOURCE = fileURLToPath(new URL('../guest/list-tree.c', import.meta.url));
const PROGRAM = fileURLToPath(new URL('../../../.cache/list-tree', import.meta.url));
const PART_BYTES = 65_536;
const FORMATS = {
  file: 0o100000,
  directory: 0o040000,
  symlink: 0o120000,
  char: 0o020000,
  block: 0o060000,
  fifo: 0o010000,
};

/** What the program prints of an entry. */
export interface ListedEntry {
  /** Below the listed directory, without a slash before; one character per byte. */
  readonly path: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: string;
  readonly links: number;
  readonly inode: string;
  readonly device: string;
  /** Hashes of a file's first and last 64 KiB, or of a link's target. */
  readonly content: string;
  /** `name:size:hash`, by name. */
  readonly xattrs: string;
}

/** Path of a static program that lists a tree for {@link parseListing}; compiled once with musl-gcc. */
export function listTreeProgram(): string {
  if (existsSync(PROGRAM) && statSync(PROGRAM).mtimeMs > statSync(SOURCE).mtimeMs) return PROGRAM;
  mkdirSync(dirname(PROGRAM), { recursive: true });
  const fresh = `${PROGRAM}.${process.pid}`;
  execFileSync('musl-gcc', ['-static', '-Os', '-Wall', '-s', '-o', fresh, SOURCE]);
  renameSync(fresh, PROGRAM);
  return PROGRAM;
}

/** Entries of a listing in a text; undefined while the listing is not complete. */
export function parseListing(text: string): ListedEntry[] | undefined {
  const match = /list-tree begins\n([\s\S]*?)list-tree ends\n/.exec(text.replaceAll('\r\n', '\n'));
  return match?.[1]
    ?.trim()
    .split('\n')
    .filter((line) => /^[0-9a-f-]+ \d+ /.test(line))
    .map((line) => {
      const [
        path = '',
        mode = '',
        uid,
        gid,
        size,
        mtime = '',
        links,
        inode = '',
        device = '',
        content = '',
        xattrs = '',
      ] = line.split(' ');
      return {
        path: path === '-' ? '' : Buffer.from(path, 'hex').toString('latin1').slice(1),
        mode: Number.parseInt(mode, 8),
        uid: Number(uid),
        gid: Number(gid),
        size: Number(size),
        mtime,
        links: Number(links),
        inode,
        device,
        content,
        xattrs: xattrs === '-' ? '' : xattrs,
      };
    });
}

/** How a listed entry differs from what is expected, in words; nothing when it does not. */
export function differences(
  listed: ListedEntry,
  expected: ExpectedEntry,
  find: (path: string) => ListedEntry | undefined,
): string[] {
  const found: string[] = [];
  const compare = (what: string, wanted: unknown, got: unknown): void => {
    if (wanted !== undefined && wanted !== got) found.push(`${what}: wanted ${wanted}, got ${got}`);
  };
  compare('type', FORMATS[expected.type].toString(8), (listed.mode & 0o170000).toString(8));
  compare('mode', expected.mode?.toString(8), (listed.mode & 0o7777).toString(8));
  compare('uid', expected.uid, listed.uid);
  compare('gid', expected.gid, listed.gid);
  compare('mtime', expected.mtime, listed.mtime);
  compare('size', expected.size, listed.size);
  compare('links', expected.links, listed.links);
  compare('device', expected.device?.join(':'), listed.device);
  if (expected.content !== undefined) {
    const content = Buffer.from(expected.content as Buffer);
    compare('size', content.length, listed.size);
    compare('content', contentHash(content), listed.content);
  }
  if (expected.target !== undefined)
    compare('target', hash(Buffer.from(expected.target, 'latin1')), listed.content);
  if (expected.xattrs !== undefined) {
    const wanted = Object.entries(expected.xattrs)
      .map(
        ([name, value]) =>
          `${name}:${Buffer.from(value as Buffer).length}:${hash(Buffer.from(value as Buffer))}`,
      )
      .sort()
      .join(',');
    compare('xattrs', wanted, listed.xattrs);
  }
  if (expected.sameAs !== undefined) compare('inode', find(expected.sameAs)?.inode, listed.inode);
  return found;
}

function contentHash(content: Buffer): string {
  const first = content.subarray(0, PART_BYTES);
  const last = content.subarray(Math.max(0, content.length - PART_BYTES));
  return `${hash(first)}/${hash(last)}`;
}

/** FNV-1a, 64 bits. */
function hash(data: Buffer): string {
  let value = 0xcbf29ce484222325n;
  for (const byte of data) value = ((value ^ BigInt(byte)) * 0x100000001b3n) & 0xffffffffffffffffn;
  return value.toString(16).padStart(16, '0');
}
