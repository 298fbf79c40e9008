/**
 * Writes a tree that a guest sends. The guest is not trusted.
 *
 * INVARIANTS
 * - Nothing is written but below the given path: each entry lies in a directory that this copy has made or begun with.
 * - No link of the guest's is followed: links are made when everything else is there.
 * - No entry is set-user-id, and each belongs to the caller.
 */
import { chmod, link, lstat, mkdir, open, rm, symlink, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { type EntryHead, type ReadBytes, readHead, readPiece } from './tree-format.js';

const MAX_PIECE = 1_048_576;
const MODE = 0o777;

export async function receiveTree(path: string, read: ReadBytes): Promise<void> {
  const directories = new Set<string>();
  const files = new Set<string>();
  const later: (() => Promise<unknown>)[] = [];
  const times: (() => Promise<unknown>)[] = [];
  let base: string | null = null;
  for (;;) {
    const head = await readHead(read);
    if (head.type === 'e') break;
    const parts = partsOf(head.name);
    if (base === null) {
      base = (await isDirectory(path)) ? join(path, parts[0] ?? '') : path;
      if (parts.length > 1) throw new Error('the guest sent no beginning of a tree');
    } else if (!directories.has(parts.slice(0, -1).join('/')))
      throw new Error('the guest sent an entry outside of the tree');
    const place = join(base, ...parts.slice(1));
    const name = parts.join('/');
    if (head.type === 'd') {
      if (!(await isDirectory(place))) await mkdir(place, { mode: 0o700 });
      directories.add(name);
      times.push(() => finish(place, head));
    } else if (head.type === 'f') {
      await rm(place, { force: true });
      await receiveFile(place, head, read);
      files.add(name);
      await finish(place, head);
    } else if (head.type === 'h') {
      const target = partsOf(head.target);
      if (!files.has(target.join('/'))) throw new Error('the guest sent a link to what it has not sent');
      await rm(place, { force: true });
      await link(join(base, ...target.slice(1)), place);
      files.add(name);
    } else {
      later.push(async () => {
        await rm(place, { force: true });
        await symlink(head.target, place);
      });
    }
  }
  for (const act of [...later, ...times.reverse()]) await act();
}

function partsOf(name: Buffer): string[] {
  const parts = name.toString('utf8').split('/');
  if (
    parts.some((part, at) => part === '' || part === '..' || (part === '.' && at > 0) || part.includes('\0'))
  )
    throw new Error('the guest sent a name that leads elsewhere');
  return parts;
}

async function isDirectory(path: string): Promise<boolean> {
  const info = await lstat(path).catch(() => null);
  return info?.isDirectory() === true;
}

async function receiveFile(place: string, head: EntryHead, read: ReadBytes): Promise<void> {
  const file = await open(place, 'wx', 0o600);
  try {
    for (;;) {
      const { offset, length } = await readPiece(read);
      if (length === 0) break;
      if (length > MAX_PIECE || offset + length > head.size)
        throw new Error('the guest sent a piece that is none');
      await file.write(await read(length), 0, length, offset);
    }
    await file.truncate(head.size);
  } finally {
    await file.close();
  }
}

async function finish(place: string, head: EntryHead): Promise<void> {
  await chmod(place, head.mode & MODE);
  await utimes(place, head.mtimeMs / 1000, head.mtimeMs / 1000);
}
