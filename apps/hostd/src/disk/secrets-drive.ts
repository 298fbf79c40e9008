import { dirname } from 'node:path';
import { CodedError } from '@mvm/protocol';
import { ALL_SECRETS_NAME, MAX_SECRETS, renderSecrets, type Secrets } from '@mvm/secrets-store';
import { buildDriveImage } from './drive-image.js';
import { livesInMemory } from './lives-in-memory.js';

/** The same for every guest and content, so that a drive of other content fits into a woken guest. */
const SECRETS_DRIVE_KIB = 4096;
const SECRETS_DRIVE_UUID = '6d766d00-0000-4000-8000-736563726574';

/**
 * Builds the read-only ext4 image with a tenant's secrets: a file for each, named like it, and `secrets.json` with all
 * of them; 0400, root's. Only below a directory that lives in memory: `failed_precondition`, reason `secrets.no_tmpfs`.
 * Else as `buildDriveImage`.
 */
export async function buildSecretsDrive(options: {
  readonly path: string;
  readonly secrets: Secrets;
}): Promise<void> {
  const { path, secrets } = options;
  await requireMemory(dirname(path));
  await buildDriveImage({
    path,
    files: new Map([...secrets, [ALL_SECRETS_NAME, renderSecrets(secrets)]]),
    mode: 0o400,
    label: 'mvm-secrets',
    uuid: SECRETS_DRIVE_UUID,
    sizeKib: SECRETS_DRIVE_KIB,
    maxFiles: MAX_SECRETS + 1,
  });
}

async function requireMemory(directory: string): Promise<void> {
  if (await livesInMemory(directory)) return;
  throw new CodedError({
    code: 'failed_precondition',
    reason: 'secrets.no_tmpfs',
    message: `secrets are only put where they are gone with the power, and ${directory} is on a disk`,
    hint: 'Give hostd a run_dir on a tmpfs: /run is one on most systems; else mount -t tmpfs -o mode=0755 tmpfs <run_dir>.',
    details: { directory },
  });
}
