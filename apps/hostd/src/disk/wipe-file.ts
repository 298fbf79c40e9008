import { constants } from 'node:fs';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { syncDirectory } from '../state/atomic-file.js';
import { errnoOf, fromFileError } from '../state/fs-error.js';

const CHUNK = Buffer.alloc(1_048_576);

/**
 * Overwrites a file with zeros, fsyncs, then unlinks it and makes that durable; nothing when it is not there. Holes
 * hold no data and stay holes, so that wiping a sparse disk needs no more space than it has. Overwriting in place
 * reaches the old blocks on file systems that write in place (ext4, xfs), not on copy-on-write ones or inside an SSD:
 * for those, encrypt the disk. Errors: `state.*`; the file is then still there.
 */
export async function wipeFile(path: string): Promise<void> {
  let file: FileHandle;
  try {
    // SAFETY: O_NOFOLLOW, so that a link put in the file's place is not followed to another file.
    file = await open(path, constants.O_RDWR | constants.O_NOFOLLOW);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return;
    throw fromFileError(error, `cannot wipe ${path}`);
  }
  try {
    try {
      const { size } = await file.stat();
      const read = Buffer.alloc(CHUNK.length);
      for (let at = 0; at < size; ) {
        const { bytesRead } = await file.read(read, 0, Math.min(read.length, size - at), at);
        if (bytesRead === 0) break;
        // Reading a hole gives zeros, and so does what was written as zeros: neither has anything to overwrite.
        if (!read.subarray(0, bytesRead).equals(CHUNK.subarray(0, bytesRead))) {
          await writeZeros(file, at, bytesRead);
        }
        at += bytesRead;
      }
      await file.sync();
    } finally {
      await file.close();
    }
    await unlink(path);
    await syncDirectory(dirname(path));
  } catch (error) {
    throw fromFileError(error, `cannot wipe ${path}`);
  }
}

async function writeZeros(file: FileHandle, position: number, length: number): Promise<void> {
  for (let done = 0; done < length; ) {
    const { bytesWritten } = await file.write(CHUNK, 0, length - done, position + done);
    done += bytesWritten;
  }
}
