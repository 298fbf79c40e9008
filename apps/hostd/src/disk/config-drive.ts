import type { GuestProgram } from '@mvm/protocol';
import { buildDriveImage } from './drive-image.js';
import { renderRunOverrides } from './run-overrides.js';

/** Size of a config drive. */
const CONFIG_DRIVE_KIB = 1024;
const CONFIG_DRIVE_UUID = '6d766d00-0000-4000-8000-636f6e666967';

/**
 * Builds the read-only ext4 image from which a guest learns who it is: `config.json`, and the same as `config.env` for
 * guests without a JSON parser; and `run.conf`, when the pool says what the guest is to run. As `buildDriveImage`.
 */
export async function buildConfigDrive(options: {
  readonly path: string;
  readonly config: object;
  readonly program?: GuestProgram | undefined;
}): Promise<void> {
  const { path, config, program = {} } = options;
  const overrides = renderRunOverrides(program);
  await buildDriveImage({
    path,
    files: new Map([
      ['config.json', `${JSON.stringify(config, null, 2)}\n`],
      ['config.env', renderConfigEnv(config)],
      ...(overrides === null ? [] : [['run.conf', overrides] as const]),
    ]),
    mode: 0o444,
    label: 'mvm-config',
    uuid: CONFIG_DRIVE_UUID,
    sizeKib: CONFIG_DRIVE_KIB,
    maxFiles: 112,
  });
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
