/** The form in which trees go to and from guests. Source: docs/guest-streams.md#trees. */

/** `d` directory, `f` file, `l` symbolic link, `h` hard link to an earlier entry, `e` the end. */
export type EntryType = 'd' | 'f' | 'l' | 'h' | 'e';

/** What stands before an entry's content. Names have the tree's own name as their first part. */
export interface EntryHead {
  readonly type: EntryType;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtimeMs: number;
  readonly size: number;
  readonly name: Buffer;
  readonly target: Buffer;
}

const HEAD_SIZE = 41;
const PIECE_SIZE = 12;
const MAX_NAME = 4096;

export function encodeHead(head: EntryHead): Buffer {
  const bytes = Buffer.alloc(HEAD_SIZE);
  bytes.write(head.type, 0, 'latin1');
  bytes.writeUInt32BE(head.mode & 0o7777, 1);
  bytes.writeUInt32BE(head.uid, 5);
  bytes.writeUInt32BE(head.gid, 9);
  const seconds = Math.floor(head.mtimeMs / 1000);
  bytes.writeBigInt64BE(BigInt(seconds), 13);
  bytes.writeUInt32BE(Math.round((head.mtimeMs - seconds * 1000) * 1000) * 1000, 21);
  bytes.writeBigUInt64BE(BigInt(head.size), 25);
  bytes.writeUInt32BE(head.name.length, 33);
  bytes.writeUInt32BE(head.target.length, 37);
  return Buffer.concat([bytes, head.name, head.target]);
}

/** A piece of a file's content at its place; none of length 0, which ends the file. */
export function encodePiece(offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(PIECE_SIZE);
  bytes.writeBigUInt64BE(BigInt(offset), 0);
  bytes.writeUInt32BE(length, 8);
  return bytes;
}

/** Reads exactly so many bytes, or throws. */
export type ReadBytes = (length: number) => Promise<Buffer>;

export async function readHead(read: ReadBytes): Promise<EntryHead> {
  const bytes = await read(HEAD_SIZE);
  const type = bytes.toString('latin1', 0, 1);
  const [nameSize, targetSize] = [bytes.readUInt32BE(33), bytes.readUInt32BE(37)];
  if (!/^[dflhe]$/.test(type) || nameSize > MAX_NAME || targetSize > MAX_NAME)
    throw new Error('the guest sent an entry that is none');
  return {
    type: type as EntryType,
    mode: bytes.readUInt32BE(1) & 0o7777,
    uid: bytes.readUInt32BE(5),
    gid: bytes.readUInt32BE(9),
    mtimeMs: Number(bytes.readBigInt64BE(13)) * 1000 + bytes.readUInt32BE(21) / 1e6,
    size: Number(bytes.readBigUInt64BE(25)),
    name: await read(nameSize),
    target: await read(targetSize),
  };
}

export async function readPiece(read: ReadBytes): Promise<{ offset: number; length: number }> {
  const bytes = await read(PIECE_SIZE);
  return { offset: Number(bytes.readBigUInt64BE(0)), length: bytes.readUInt32BE(8) };
}
