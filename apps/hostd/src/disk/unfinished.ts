import { readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { errnoOf, fromFileError } from '../state/fs-error.js';

/** Where an image is made before it is renamed to `path`: beside it, under a name that begins like this. */
export function unfinishedPrefix(path: string): string {
  return join(dirname(path), `.${basename(path)}.tmp-`);
}

/**
 * Removes what a build of the image at `path` left beside it when hostd was killed; the image itself is left alone. The
 * caller sees to it that nobody builds it now. Repeating it changes nothing. Errors: `state.*`.
 */
export async function removeUnfinished(path: string): Promise<void> {
  const prefix = basename(unfinishedPrefix(path));
  try {
    for (const name of await readdir(dirname(path))) {
      if (name.startsWith(prefix)) await rm(join(dirname(path), name), { recursive: true, force: true });
    }
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return;
    throw fromFileError(error, `cannot remove what was left of ${path}`);
  }
}
