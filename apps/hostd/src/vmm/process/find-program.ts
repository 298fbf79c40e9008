import { stat } from 'node:fs/promises';
import { delimiter, join } from 'node:path';

/** Where a program is: an absolute path, or the first of its name in PATH; null when it is not found. */
export async function findProgram(binary: string): Promise<string | null> {
  const directories = binary.includes('/') ? [''] : (process.env.PATH ?? '').split(delimiter);
  for (const directory of directories) {
    const path = join(directory, binary);
    if ((await stat(path).catch(() => null))?.isFile()) return path;
  }
  return null;
}
