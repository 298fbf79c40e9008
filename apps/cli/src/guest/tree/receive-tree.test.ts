import { mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { receiveTree } from './receive-tree.js';
import { type EntryHead, encodeHead, encodePiece } from './tree-format.js';

let dir: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'mvm-tree-'));
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const entry = (type: EntryHead['type'], name: string, target = '', content = ''): Buffer[] => [
  encodeHead({
    ...{ type, mode: 0o755, uid: 1, gid: 1, mtimeMs: 1000, size: content.length },
    ...{ name: Buffer.from(name), target: Buffer.from(target) },
  }),
  ...(type === 'f' && content !== '' ? [encodePiece(0, content.length), Buffer.from(content)] : []),
  ...(type === 'f' ? [encodePiece(0, 0)] : []),
];
function receive(...entries: Buffer[][]): Promise<void> {
  let left = Buffer.concat(entries.flat());
  return receiveTree(join(dir, 'into'), async (length) => {
    if (left.length < length) throw new Error('no more');
    const bytes = left.subarray(0, length);
    left = left.subarray(length);
    return bytes;
  });
}

it('writes what comes', async () => {
  await receive(
    entry('d', 't'),
    entry('f', 't/a', '', 'text'),
    entry('h', 't/b', 't/a'),
    entry('l', 't/c', 'a'),
    entry('e', ''),
  );
  expect((await readdir(join(dir, 'into'))).sort()).toEqual(['a', 'b', 'c']);
  expect(await readFile(join(dir, 'into/c'), 'utf8')).toBe('text');
});

it.each<[string, Buffer[][]]>([
  ['a name that leads up', [entry('d', 't'), entry('f', 't/../../outside', '', 'x')]],
  ['an absolute name', [entry('d', 't'), entry('f', '/outside', '', 'x')]],
  [
    'an entry below a link',
    [entry('d', 't'), entry('l', 't/link', '..'), entry('f', 't/link/outside', '', 'x')],
  ],
  ['an entry in another tree', [entry('d', 't'), entry('f', 'u/outside', '', 'x')]],
  ['a hard link to a file of the host', [entry('d', 't'), entry('h', 't/a', 't/b')]],
  ['a first entry below the tree', [entry('f', 't/../outside', '', 'x')]],
  [
    'a piece beyond the end',
    [
      [
        encodeHead({
          type: 'f',
          mode: 0,
          uid: 0,
          gid: 0,
          mtimeMs: 0,
          size: 1,
          name: Buffer.from('t'),
          target: Buffer.alloc(0),
        }),
        encodePiece(5, 1),
        Buffer.from('x'),
      ],
    ],
  ],
  ['an entry that is none', [[Buffer.alloc(41, 0xff)]]],
])('refuses %s', async (_what, entries) => {
  await expect(receive(...entries, entry('e', ''))).rejects.toThrow(/the guest sent/);
  expect(await readdir(dir)).not.toContain('outside');
});

it('does not follow a link that is there in place of a directory', async () => {
  const elsewhere = await mkdtemp(join(tmpdir(), 'mvm-tree-'));
  await symlink(elsewhere, join(dir, 'into'));
  await expect(receive(entry('d', 't'), entry('f', 't/a', '', 'x'), entry('e', ''))).rejects.toThrow();
  expect(await readdir(elsewhere)).toEqual([]);
  await rm(elsewhere, { recursive: true });
});
