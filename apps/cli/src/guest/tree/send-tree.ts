import { lstat, open, readdir, readlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { type EntryHead, encodeHead, encodePiece } from './tree-format.js';

const PIECE_BYTES = 65_536;
const ZEROS = Buffer.alloc(PIECE_BYTES);
const NOTHING = Buffer.alloc(0);

/** The bytes of a tree of this host: links stay links, and what is only zeros stays a hole. */
export async function* sendTree(path: string, onSkipped: (name: string) => void): AsyncGenerator<Buffer> {
  const seen = new Map<string, Buffer>();
  yield* sendEntry(path, Buffer.from(basename(path)), seen, onSkipped);
  const end = { mode: 0, uid: 0, gid: 0, mtimeMs: 0, size: 0, name: NOTHING, target: NOTHING };
  yield encodeHead({ type: 'e', ...end });
}

async function* sendEntry(
  path: string,
  name: Buffer,
  seen: Map<string, Buffer>,
  onSkipped: (name: string) => void,
): AsyncGenerator<Buffer> {
  const info = await lstat(path);
  const head = (type: EntryHead['type'], target: Buffer = NOTHING): Buffer =>
    encodeHead({
      ...{ type, name, target, mode: info.mode, uid: info.uid, gid: info.gid, mtimeMs: info.mtimeMs },
      size: info.isFile() ? info.size : 0,
    });
  const key = `${info.dev}:${info.ino}`;
  const first = info.isDirectory() ? undefined : seen.get(key);
  if (first !== undefined) {
    yield head('h', first);
    return;
  }
  if (info.nlink > 1) seen.set(key, name);
  if (info.isDirectory()) {
    yield head('d');
    for (const entry of (await readdir(path)).sort())
      yield* sendEntry(join(path, entry), Buffer.concat([name, Buffer.from(`/${entry}`)]), seen, onSkipped);
  } else if (info.isSymbolicLink()) yield head('l', Buffer.from(await readlink(path)));
  else if (info.isFile()) {
    yield head('f');
    yield* sendContent(path, info.size);
  } else onSkipped(path);
}

async function* sendContent(path: string, size: number): AsyncGenerator<Buffer> {
  const file = await open(path, 'r');
  try {
    for (let at = 0; at < size; ) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(PIECE_BYTES), 0, PIECE_BYTES, at);
      if (bytesRead === 0) break;
      const piece = buffer.subarray(0, bytesRead);
      if (!piece.equals(ZEROS.subarray(0, bytesRead)))
        yield Buffer.concat([encodePiece(at, bytesRead), piece]);
      at += bytesRead;
    }
    yield encodePiece(0, 0);
  } finally {
    await file.close();
  }
}
