import { statfs } from 'node:fs/promises';
import { fromFileError } from '../state/fs-error.js';

/** TMPFS_MAGIC and RAMFS_MAGIC. Source: statfs(2). */
const IN_MEMORY = new Set([0x01021994, 0x858458f6]);

/** Whether a directory's files are in memory and not on a disk. Errors: those of files. */
export async function livesInMemory(directory: string): Promise<boolean> {
  const { type } = await statfs(directory).catch((error: unknown) => {
    throw fromFileError(error, `cannot look at ${directory}`);
  });
  return IN_MEMORY.has(type);
}
