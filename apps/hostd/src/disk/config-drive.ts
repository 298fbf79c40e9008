import { mkdir, mkdtemp, open, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { fromFileError } from '../state/fs-error.js';
import { fixInodes, runMkfs } from './e2fs-tools.js';

/** Size of a config drive. */
const CONFIG_DRIVE_KIB = 1024;
const CONFIG_DRIVE_UUID = '6d766d00-0000-4000-8000-636f6e666967';

/**
 * Builds the read-only ext4 image from which a guest learns who it is: `config.json`, and the same as `config.env` for
 * guests without a JSON parser. Equal content makes equal bytes. Replaces an older one atomically; on any error that one
 * is untouched and nothing is left. Mode 0600, root. Errors: `disk.*`, `state.*`.
 */
export async function buildConfigDrive(options: {
  readonly path: string;
  readonly config: object;
}): Promise<void> {
  const { path, config } = options;
  let staging: string | null = null;
  try {
    staging = await mkdtemp(join(dirname(path), `.${basename(path)}.tmp-`));
    const tree = join(staging, 'tree');
    const image = join(staging, 'image');
    await mkdir(tree, { mode: 0o755 });
    await writeFile(join(tree, 'config.json'), `${JSON.stringify(config, null, 2)}\n`, { mode: 0o444 });
    await writeFile(join(tree, 'config.env'), renderConfigEnv(config), { mode: 0o444 });
    await (await open(image, 'wx', 0o600)).close();
    await runMkfs([
      ...['-d', tree, '-U', CONFIG_DRIVE_UUID, '-L', 'mvm-config', '-b', '1024', '-I', '256', '-m', '0'],
      ...[
        '-O',
        '^has_journal,^resize_inode',
        '-E',
        `hash_seed=${CONFIG_DRIVE_UUID},root_owner=0:0,lazy_itable_init=0`,
      ],
      ...[image, `${CONFIG_DRIVE_KIB}k`],
    ]);
    await fixInodes(image, ['config.json', 'config.env']);
    await rename(image, path);
  } catch (error) {
    throw fromFileError(error, `cannot build ${path}`);
  } finally {
    if (staging !== null) await rm(staging, { recursive: true, force: true });
  }
}

/** `MVM_<PATH>='value'` lines in the order of the object's keys; nested keys joined by `_`. Safe to source in a shell. */
export function renderConfigEnv(config: object, prefix = 'MVM'): string {
  let text = '';
  for (const [key, value] of Object.entries(config)) {
    const name = `${prefix}_${key.toUpperCase().replaceAll(/[^A-Z0-9]/g, '_')}`;
    if (typeof value === 'object' && value !== null) text += renderConfigEnv(value, name);
    else text += `${name}='${String(value).replaceAll("'", "'\\''")}'\n`;
  }
  return text;
}
