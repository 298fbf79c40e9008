import { stat } from 'node:fs/promises';
import { secretsPath } from '@mvm/secrets-store';
import { errnoOf, fromFileError } from '../state/fs-error.js';
import { requireTenant, type StateStore } from '../state/store.js';
import type { KeyedMutex } from '../system/keyed-mutex.js';

export interface SecretsEpochDeps {
  readonly store: StateStore;
  readonly mutex: KeyedMutex;
  readonly stateDir: string;
}

/**
 * Count the tenant's `secrets_epoch` up when the file of its secrets is not the one of the last start or wake. Under the
 * tenant's lock, which never waits for an instance's. Reads nothing of the file.
 */
export async function noticeSecretsChange(tenantId: string, deps: SecretsEpochDeps): Promise<void> {
  const { store, mutex, stateDir } = deps;
  const stamp = await stampOf(secretsPath(stateDir, tenantId));
  if ((requireTenant(store, tenantId).secrets_stamp ?? null) === stamp) return;
  await mutex.run(`tenant ${tenantId}`, async () => {
    const tenant = requireTenant(store, tenantId);
    if ((tenant.secrets_stamp ?? null) === stamp) return;
    await store.saveTenant({
      ...tenant,
      secrets_epoch: (tenant.secrets_epoch ?? 0) + 1,
      secrets_stamp: stamp,
    });
  });
}

/** Which file it is and when it was last changed, or null when there is none. */
async function stampOf(path: string): Promise<string | null> {
  try {
    const { ino, size, mtimeNs } = await stat(path, { bigint: true });
    return `${ino}:${size}:${mtimeNs}`;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw fromFileError(error, `cannot look at ${path}`);
  }
}
