import { stat } from 'node:fs/promises';
import { secretsPath } from '@mvm/secrets-store';
import { errnoOf, fromFileError } from '../state/fs-error.js';
import type { PoolAddress } from '../state/layout.js';
import { requirePool, requireTenant } from '../state/store.js';
import type { OperationDeps } from './operation.js';

/**
 * Count the tenant's `secrets_epoch` up when its secrets are another file than at the last start or wake; nothing for a
 * pool that gets none of them. Under the tenant's lock, which never waits for an instance's. Reads nothing of the file.
 */
export async function detectSecretsChange(
  pool: PoolAddress,
  { store, mutex, ports }: OperationDeps,
): Promise<void> {
  if (requirePool(store, pool).secret_scopes.length === 0) return;
  const tenantId = pool.tenant_id;
  const stamp = await stampOf(secretsPath(ports.layout.stateDir, tenantId));
  const isKnown = (): boolean => (requireTenant(store, tenantId).secrets_stamp ?? null) === stamp;
  if (isKnown()) return;
  await mutex.run(`tenant ${tenantId}`, async () => {
    if (isKnown()) return;
    const tenant = requireTenant(store, tenantId);
    const secrets_epoch = (tenant.secrets_epoch ?? 0) + 1;
    await store.saveTenant({ ...tenant, secrets_epoch, secrets_stamp: stamp });
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
