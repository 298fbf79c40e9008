import { mkdir, mkdtemp, open, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fromFileError } from '../state/fs-error.js';
import { fixInodes, runMkfs } from './e2fs-tools.js';

/** A small read-only drive: what is in it, and how large it is whatever is in it. */
export interface DriveImage {
  readonly path: string;
  /** Content of the files in its root directory, by name; names hold no character that is special to debugfs(8). */
  readonly files: ReadonlyMap<string, string>;
  /** Permission bits of the files; they belong to root. */
  readonly mode: number;
  readonly label: string;
  readonly uuid: string;
  readonly sizeKib: number;
  /** Room for this many files. */
  readonly maxFiles: number;
}

/**
 * Builds an ext4 image. Equal content makes equal bytes, and an equal size makes an equal device. Replaces an older one
 * atomically; on any error that one is untouched and nothing is left. Everything is staged beside `path`, on the same
 * file system. Mode 0600, root. Errors: `disk.*`, `state.*`, none with any content.
 */
export async function buildDriveImage(drive: DriveImage): Promise<void> {
  const { path, files, uuid } = drive;
  let staging: string | null = null;
  try {
    staging = await mkdtemp(join(dirname(path), `.${basename(path)}.tmp-`));
    const tree = join(staging, 'tree');
    const image = join(staging, 'image');
    await mkdir(tree, { mode: 0o755 });
    for (const [name, content] of files) await writeFile(join(tree, name), content, { mode: drive.mode });
    await (await open(image, 'wx', 0o600)).close();
    await runMkfs([
      ...['-d', tree, '-U', uuid, '-L', drive.label, '-b', '1024', '-I', '256', '-m', '0'],
      ...['-N', String(drive.maxFiles + 16)],
      ...['-O', '^has_journal,^resize_inode'],
      ...['-E', `hash_seed=${uuid},root_owner=0:0,lazy_itable_init=0`],
      ...[image, `${drive.sizeKib}k`],
    ]);
    await fixInodes(image, [...files.keys()]);
    await rename(image, path);
  } catch (error) {
    throw fromFileError(error, `cannot build ${path}`);
  } finally {
    if (staging !== null) await rm(staging, { recursive: true, force: true });
  }
}
