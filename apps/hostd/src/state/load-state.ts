import { readdir, rm, rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError, toCodedError } from '@mvm/protocol';
import { isValidId, parseTapName } from '@mvm/protocol/names';
import { isTemporaryName, readFileIfThere } from './atomic-file.js';
import { errnoOf, fromFileError } from './fs-error.js';
import type { InstanceAddress, Layout, PoolAddress } from './layout.js';
import { TRASH_PREFIX } from './layout.js';
import {
  type InstanceRecord,
  instanceRecordSchema,
  type PoolRecord,
  parseRecord,
  poolRecordSchema,
  type TenantRecord,
  tenantRecordSchema,
} from './records.js';

/** A record that cannot be used; everything in its tenant that could clash with it is refused until it is repaired. */
export interface DamagedRecord {
  readonly tenantId: string;
  readonly path: string;
  readonly problem: string;
}

/** All records of a state directory. */
export interface LoadedState {
  readonly tenants: TenantRecord[];
  readonly pools: PoolRecord[];
  readonly instances: InstanceRecord[];
  readonly damaged: DamagedRecord[];
}

async function entries(dir: string): Promise<string[]> {
  try {
    return (await readdir(dir)).sort();
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw fromFileError(error, `cannot read ${dir}`);
  }
}

/** Ids of the directories below `dir`; on the way, what killed operations left there is removed. */
async function idsBelow(dir: string): Promise<string[]> {
  const ids: string[] = [];
  for (const name of await entries(dir)) {
    if (isValidId(name)) ids.push(name);
    else if (name.startsWith(TRASH_PREFIX)) await rm(join(dir, name), { recursive: true, force: true });
  }
  return ids;
}

async function removeTemporaryFiles(dir: string): Promise<void> {
  for (const name of await entries(dir)) if (isTemporaryName(name)) await unlink(join(dir, name));
}

/** What drives are built in, under names of their own; a killed hostd leaves it, and nothing is built while records load. */
async function removeUnfinishedDrives(dir: string): Promise<void> {
  for (const name of await entries(dir)) {
    if (/^\..+\.tmp-/.test(name)) await rm(join(dir, name), { recursive: true, force: true });
  }
}

/**
 * Remove a directory that holds nothing but directories: what was made before its record, and never had one. False, with
 * nothing removed, when there is anything else in it.
 */
async function removeIfHollow(dir: string): Promise<boolean> {
  const below = await readdir(dir, { recursive: true, withFileTypes: true }).catch((error: unknown) => {
    throw fromFileError(error, `cannot read ${dir}`);
  });
  if (!below.every((entry) => entry.isDirectory())) return false;
  const paths = [dir, ...below.map(({ parentPath, name }) => join(parentPath, name))];
  for (const path of paths.toSorted((a, b) => b.length - a.length)) await rmdir(path);
  return true;
}

function mismatch(path: string): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'state.damaged_record',
    message: `${path} is damaged: its ids are not those of its directory`,
  });
}

/** An interface name of a record goes to commands that run as root: it must be the one that we would make. */
function checkTap(record: InstanceRecord, tenant: TenantRecord, path: string): void {
  if (record.net == null) return;
  const tap = parseTapName(record.net.tap_dev);
  if (tap !== null && tap.netId === tenant.net.tenant_net_id) return;
  throw new CodedError({
    code: 'failed_precondition',
    reason: 'state.damaged_record',
    message: `${path} is damaged: ${JSON.stringify(record.net.tap_dev.slice(0, 40))} is not a TAP of this tenant`,
  });
}

/**
 * Read the whole tree. A directory without a record is not an object: one that never had a record is removed, of a tenant
 * that was removed the audit log stays. A record that does not load is listed in `damaged`, and loading goes on. Throws only when the tree cannot be read.
 */
export async function loadState(layout: Layout): Promise<LoadedState> {
  const state: LoadedState = { tenants: [], pools: [], instances: [], damaged: [] };
  const attempt = (tenantId: string, path: string, load: () => void): void => {
    try {
      load();
    } catch (error) {
      state.damaged.push({ tenantId, path, problem: toCodedError(error).message });
    }
  };
  const loadInstance = async (address: InstanceAddress, tenant: TenantRecord): Promise<void> => {
    const path = layout.instanceRecord(address);
    await removeTemporaryFiles(layout.instanceDir(address));
    await removeUnfinishedDrives(layout.volumesDir(address));
    const text = await readFileIfThere(path);
    if (text === null && (await removeIfHollow(layout.instanceDir(address)))) return;
    attempt(address.tenant_id, path, () => {
      const record = parseRecord(instanceRecordSchema, path, text ?? '');
      const { tenant_id, pool_id, instance_id } = address;
      if (
        record.tenant_id !== tenant_id ||
        record.pool_id !== pool_id ||
        record.instance_id !== instance_id
      ) {
        throw mismatch(path);
      }
      checkTap(record, tenant, path);
      state.instances.push(record);
    });
  };
  const loadPool = async (pool: PoolAddress, tenant: TenantRecord): Promise<void> => {
    const path = layout.poolRecord(pool);
    await removeTemporaryFiles(layout.poolDir(pool));
    const text = await readFileIfThere(path);
    if (text === null && (await removeIfHollow(layout.poolDir(pool)))) return;
    if (text === null && (await idsBelow(layout.instancesDir(pool))).length === 0) return;
    const before = state.damaged.length;
    attempt(pool.tenant_id, path, () => {
      const record = parseRecord(poolRecordSchema, path, text ?? '');
      if (record.tenant_id !== pool.tenant_id || record.pool_id !== pool.pool_id) throw mismatch(path);
      state.pools.push(record);
    });
    if (state.damaged.length > before) return;
    for (const instance_id of await idsBelow(layout.instancesDir(pool))) {
      await loadInstance({ ...pool, instance_id }, tenant);
    }
  };
  for (const tenantId of await idsBelow(layout.tenantsDir)) {
    const path = layout.tenantRecord(tenantId);
    await removeTemporaryFiles(layout.tenantDir(tenantId));
    const text = await readFileIfThere(path);
    const poolIds = await idsBelow(layout.poolsDir(tenantId));
    // Of a tenant that was removed, the audit log stays.
    if (text === null && (await removeIfHollow(layout.tenantDir(tenantId)))) continue;
    if (text === null && poolIds.length === 0) continue;
    attempt(tenantId, path, () => {
      const record = parseRecord(tenantRecordSchema, path, text ?? '');
      if (record.tenant_id !== tenantId) throw mismatch(path);
      state.tenants.push(record);
    });
    const tenant = state.tenants.at(-1);
    if (tenant?.tenant_id !== tenantId) continue;
    for (const pool_id of poolIds) await loadPool({ tenant_id: tenantId, pool_id }, tenant);
  }
  return state;
}
