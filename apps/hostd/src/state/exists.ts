import { stat } from 'node:fs/promises';
import { errnoOf, fromFileError } from './fs-error.js';

/** Whether there is a file or directory. Throws what the file system does otherwise, as `CodedError`. */
export async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false;
    throw fromFileError(error, `cannot look at ${path}`);
  }
}
