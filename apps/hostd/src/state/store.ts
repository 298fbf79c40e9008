import { rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type ClockOffset, readClockOffset } from '@mvm/node-host';
import { CodedError } from '@mvm/protocol';
import { makePrivateDir, syncDirectory, writeFileAtomic } from './atomic-file.js';
import { errnoOf, fromFileError } from './fs-error.js';
import { type InstanceAddress, type Layout, type PoolAddress, TRASH_PREFIX } from './layout.js';
import { type DamagedRecord, loadState } from './load-state.js';
import { type InstanceRecord, type PoolRecord, renderRecord, type TenantRecord } from './records.js';
import { onPresentClock, withTimeOffsets } from './time-offsets.js';

/**
 * The recorded tenants, pools and instances.
 *
 * INVARIANTS
 * - Memory never shows what is not on disk: a change is written, fsynced and renamed first, then becomes visible.
 * - Records are values: a change replaces the whole record, so whoever holds one holds a consistent snapshot.
 * - One writer per record at a time; the callers' locks see to that.
 */
export interface StateStore {
  readonly damaged: readonly DamagedRecord[];
  tenant(tenantId: string): TenantRecord | undefined;
  pool(pool: PoolAddress): PoolRecord | undefined;
  instance(address: InstanceAddress): InstanceRecord | undefined;
  /** Sorted by id. */
  tenants(): TenantRecord[];
  /** Sorted by id. */
  poolsOf(tenantId: string): PoolRecord[];
  /** Sorted by id. */
  instancesOf(pool: PoolAddress): InstanceRecord[];
  /** Sorted by pool, then id. */
  instancesOfTenant(tenantId: string): InstanceRecord[];
  saveTenant(record: TenantRecord): Promise<void>;
  savePool(record: PoolRecord): Promise<void>;
  saveInstance(record: InstanceRecord): Promise<void>;
  /** The record with times by the wall clock as it is set now: for views. */
  onPresentClock(record: InstanceRecord): InstanceRecord;
  /** Forgets the tenant; only its audit log stays. */
  removeTenant(tenantId: string): Promise<void>;
  removePool(pool: PoolAddress): Promise<void>;
  /** Removes the instance's whole directory. */
  removeInstance(address: InstanceAddress): Promise<void>;
}

interface PoolEntry {
  record: PoolRecord;
  readonly instances: Map<string, InstanceRecord>;
}

interface TenantEntry {
  record: TenantRecord;
  readonly pools: Map<string, PoolEntry>;
}

function sortedValues<T>(map: ReadonlyMap<string, T> | undefined): T[] {
  if (map === undefined) return [];
  return [...map].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, value]) => value);
}

function missingParent(kind: string): Error {
  return new Error(`a record was saved below a ${kind} that is not recorded`);
}

/** Move a directory aside in one step, then remove it; what a crash leaves is removed at the next load. */
async function removeDirectory(parent: string, id: string): Promise<void> {
  const trash = join(parent, TRASH_PREFIX + id);
  try {
    await rm(trash, { recursive: true, force: true });
    await rename(join(parent, id), trash);
    await syncDirectory(parent);
    await rm(trash, { recursive: true, force: true });
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return;
    throw fromFileError(error, `cannot remove ${join(parent, id)}`);
  }
}

/** The store of a state directory, with everything loaded. Throws when the tree cannot be read at all. */
export async function openStateStore(
  layout: Layout,
  readOffset: () => ClockOffset = readClockOffset,
): Promise<StateStore> {
  await makePrivateDir(layout.tenantsDir);
  const loaded = await loadState(layout);
  const tenants = new Map<string, TenantEntry>();
  const poolEntry = (pool: PoolAddress): PoolEntry | undefined =>
    tenants.get(pool.tenant_id)?.pools.get(pool.pool_id);
  for (const record of loaded.tenants) tenants.set(record.tenant_id, { record, pools: new Map() });
  for (const record of loaded.pools) {
    tenants.get(record.tenant_id)?.pools.set(record.pool_id, { record, instances: new Map() });
  }
  for (const record of loaded.instances) poolEntry(record)?.instances.set(record.instance_id, record);

  return {
    damaged: loaded.damaged,
    tenant: (tenantId) => tenants.get(tenantId)?.record,
    pool: (pool) => poolEntry(pool)?.record,
    instance: (address) => poolEntry(address)?.instances.get(address.instance_id),
    tenants: () => sortedValues(tenants).map((entry) => entry.record),
    poolsOf: (tenantId) => sortedValues(tenants.get(tenantId)?.pools).map((entry) => entry.record),
    instancesOf: (pool) => sortedValues(poolEntry(pool)?.instances),
    instancesOfTenant: (tenantId) =>
      sortedValues(tenants.get(tenantId)?.pools).flatMap((entry) => sortedValues(entry.instances)),
    saveTenant: async (record) => {
      await makePrivateDir(layout.tenantDir(record.tenant_id));
      await writeFileAtomic(layout.tenantRecord(record.tenant_id), renderRecord(record));
      const known = tenants.get(record.tenant_id);
      if (known === undefined) tenants.set(record.tenant_id, { record, pools: new Map() });
      else known.record = record;
    },
    savePool: async (record) => {
      const tenant = tenants.get(record.tenant_id);
      if (tenant === undefined) throw missingParent('tenant');
      await makePrivateDir(layout.instancesDir(record));
      await writeFileAtomic(layout.poolRecord(record), renderRecord(record));
      const known = tenant.pools.get(record.pool_id);
      if (known === undefined) tenant.pools.set(record.pool_id, { record, instances: new Map() });
      else known.record = record;
    },
    onPresentClock: (record) => onPresentClock(record, readOffset()),
    saveInstance: async (changed) => {
      const pool = poolEntry(changed);
      if (pool === undefined) throw missingParent('pool');
      const known = pool.instances.get(changed.instance_id);
      const record = withTimeOffsets(changed, known, readOffset());
      if (known === undefined) {
        await makePrivateDir(layout.runtimeDir(record));
        await makePrivateDir(layout.volumesDir(record));
      }
      await writeFileAtomic(layout.instanceRecord(record), renderRecord(record));
      pool.instances.set(record.instance_id, record);
    },
    removeTenant: async (tenantId) => {
      try {
        // First: what a crash leaves behind the record would be the next tenant's of this name.
        await rm(join(layout.tenantDir(tenantId), 'secrets.json'), { force: true });
        await rm(layout.tenantRecord(tenantId), { force: true });
        await syncDirectory(layout.tenantDir(tenantId));
        await rm(layout.poolsDir(tenantId), { recursive: true, force: true });
      } catch (error) {
        throw fromFileError(error, `cannot remove tenant ${tenantId}`);
      }
      tenants.delete(tenantId);
    },
    removePool: async (pool) => {
      await removeDirectory(layout.poolsDir(pool.tenant_id), pool.pool_id);
      tenants.get(pool.tenant_id)?.pools.delete(pool.pool_id);
    },
    removeInstance: async (address) => {
      await removeDirectory(layout.instancesDir(address), address.instance_id);
      poolEntry(address)?.instances.delete(address.instance_id);
    },
  };
}

/** The tenant, or `not_found` `tenant.not_found`. */
export function requireTenant(store: StateStore, tenantId: string): TenantRecord {
  const found = store.tenant(tenantId);
  if (found !== undefined) return found;
  throw notFound(
    store,
    tenantId,
    'tenant',
    `tenant ${tenantId}`,
    'mvm tenant list shows the tenants of this host.',
  );
}

/** The pool, or `not_found` `pool.not_found` or `tenant.not_found`. */
export function requirePool(store: StateStore, pool: PoolAddress): PoolRecord {
  requireTenant(store, pool.tenant_id);
  const found = store.pool(pool);
  if (found !== undefined) return found;
  const name = `pool ${pool.tenant_id}/${pool.pool_id}`;
  throw notFound(store, pool.tenant_id, 'pool', name, 'mvm pool list shows the pools of this host.');
}

/** The instance, or `not_found` `instance.not_found`, `pool.not_found` or `tenant.not_found`. */
export function requireInstance(store: StateStore, address: InstanceAddress): InstanceRecord {
  requirePool(store, address);
  const found = store.instance(address);
  if (found !== undefined) return found;
  const name = `instance ${address.tenant_id}/${address.pool_id}/${address.instance_id}`;
  throw notFound(
    store,
    address.tenant_id,
    'instance',
    name,
    'mvm instance list shows the instances of this host.',
  );
}

function notFound(store: StateStore, tenantId: string, kind: string, name: string, hint: string): CodedError {
  const damaged = store.damaged.find((record) => record.tenantId === tenantId);
  if (damaged === undefined) {
    return new CodedError({
      code: 'not_found',
      reason: `${kind}.not_found`,
      message: `${name} does not exist`,
      hint,
    });
  }
  return new CodedError({
    code: 'failed_precondition',
    reason: 'state.damaged_record',
    message: `${name} cannot be found, and a record of its tenant is damaged: ${damaged.problem}`,
    hint: 'Restore the file from a backup, or remove its directory, then restart hostd.',
  });
}

/** Throws `failed_precondition`, reason `state.damaged_record`, when a record of the tenant could not be loaded. */
export function assertUndamaged(store: StateStore, tenantId: string): void {
  const damaged = store.damaged.find((record) => record.tenantId === tenantId);
  if (damaged === undefined) return;
  throw new CodedError({
    code: 'failed_precondition',
    reason: 'state.damaged_record',
    message: damaged.problem,
    hint: 'Restore the file from a backup, or remove its directory, then restart hostd.',
  });
}
