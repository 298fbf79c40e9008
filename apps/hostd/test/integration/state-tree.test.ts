import {
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  rmdir,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createAuditLog } from '../../src/state/audit-log.js';
import { createLayout, type Layout } from '../../src/state/layout.js';
import { openStateStore } from '../../src/state/store.js';
import { tenantRecord } from '../records.js';

const peerTree = fileURLToPath(new URL('../../testdata/peer-tree', import.meta.url));
const address = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-0a1b2c3d' };
let dir: string;
let layout: Layout;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'mvmh-state-'));
  layout = createLayout(dir, '/run/mvmh-unused');
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const readJson = async (path: string): Promise<unknown> => JSON.parse(await readFile(path, 'utf8'));

test('a tree that the version 1 peer wrote loads, and every field survives being saved', async () => {
  await cp(peerTree, dir, { recursive: true });
  const paths = [layout.tenantRecord('acme'), layout.poolRecord(address), layout.instanceRecord(address)];
  const before = await Promise.all(paths.map(readJson));
  const store = await openStateStore(layout);
  expect(store.damaged).toEqual([]);
  const [tenant, pool, instance] = [store.tenant('acme'), store.pool(address), store.instance(address)];
  if (!tenant || !pool || !instance) throw new Error('the tree did not load');
  await store.saveTenant(tenant);
  await store.savePool(pool);
  await store.saveInstance(instance);
  expect(await Promise.all(paths.map(readJson))).toEqual(before);
});

test('the clock set meanwhile: times are shown by the clock as it is set now, over restarts too', async () => {
  const HOUR = 3_600_000;
  await cp(peerTree, dir, { recursive: true });
  let offset = { boot_id: 'first', offset_ms: 1_000_000 };
  const store = await openStateStore(layout, () => offset);
  const old = store.instance(address);
  if (old === undefined) throw new Error('the tree did not load');
  const at = '2026-11-20T12:00:00.000Z';
  await store.saveInstance({ ...old, last_stopped_at: at });
  offset = { ...offset, offset_ms: offset.offset_ms - 720 * HOUR };
  for (const now of [store, await openStateStore(layout, () => offset)]) {
    const record = now.instance(address);
    expect(record?.last_stopped_at).toBe(at);
    expect(record && now.onPresentClock(record)).toMatchObject({
      last_started_at: old.last_started_at,
      last_stopped_at: '2026-10-21T12:00:00.000Z',
    });
  }
});

test('a record that is damaged is listed, and does not keep others from loading', async () => {
  await cp(peerTree, dir, { recursive: true });
  const bad = { ...address, instance_id: 'i-bad' };
  await mkdir(layout.instanceDir(bad));
  await writeFile(layout.instanceRecord(bad), '{"instance_id":');
  const store = await openStateStore(layout);
  expect(store.damaged).toEqual([
    { tenantId: 'acme', path: layout.instanceRecord(bad), problem: expect.stringContaining('not JSON') },
  ]);
  expect(store.instance(address)?.status).toBe('stopped');
  expect(store.instance(bad)).toBeUndefined();
});

test.each([
  ['another instance’s id', { instance_id: 'i-other' }],
  ['a TAP that is not ours', { net: { tap_dev: 'eth0', mac: '', guest_ip: '', gateway_ip: '', cidr: '' } }],
  ['a TAP of another tenant', { net: { tap_dev: 'tn4i5', mac: '', guest_ip: '', gateway_ip: '', cidr: '' } }],
  ['a status that does not exist', { status: 'dreaming' }],
])('a record with %s is damaged', async (_what, change) => {
  await cp(peerTree, dir, { recursive: true });
  const path = layout.instanceRecord(address);
  await writeFile(path, JSON.stringify({ ...((await readJson(path)) as object), ...change }));
  const store = await openStateStore(layout);
  expect(store.damaged.map((damaged) => damaged.path)).toEqual([path]);
});

test('directories that were made for records which never came are removed, and nothing else is', async () => {
  await cp(peerTree, dir, { recursive: true });
  await mkdir(layout.instancesDir({ tenant_id: 'acme', pool_id: 'half' }), { recursive: true });
  await mkdir(layout.instancesDir({ tenant_id: 'half', pool_id: 'half' }), { recursive: true });
  await mkdir(layout.tenantDir('empty'));
  // Somebody's file, a link that leads away, and a removed tenant's log.
  const kept = { tenant_id: 'acme', pool_id: 'kept' };
  await mkdir(layout.instancesDir(kept), { recursive: true });
  await writeFile(join(layout.poolDir(kept), 'notes'), 'x');
  const linked = { tenant_id: 'acme', pool_id: 'linked' };
  await mkdir(join(dir, 'elsewhere', 'hollow'), { recursive: true });
  await mkdir(layout.poolDir(linked));
  await symlink(join(dir, 'elsewhere'), layout.instancesDir(linked));
  await mkdir(layout.poolsDir('gone'), { recursive: true });
  await writeFile(layout.auditLog('gone'), '');
  const store = await openStateStore(layout);
  expect(store.damaged.map(({ path }) => path)).toEqual([layout.poolRecord(linked)]);
  expect(await readdir(layout.tenantsDir)).toEqual(['acme', 'gone']);
  expect((await readdir(layout.poolsDir('acme'))).sort()).toEqual(['kept', 'linked', 'workers']);
  expect((await readdir(layout.tenantDir('gone'))).sort()).toEqual(['audit.log', 'pools']);
  expect(await readdir(join(dir, 'elsewhere'))).toEqual(['hollow']);
});

test('what a killed operation left is removed at the next start', async () => {
  await cp(peerTree, dir, { recursive: true });
  const half = { ...address, instance_id: 'i-half' };
  await mkdir(layout.runtimeDir(half), { recursive: true });
  await mkdir(layout.instanceTrash(half), { recursive: true });
  await writeFile(join(layout.instanceTrash(half), 'data.ext4'), 'x');
  await writeFile(join(layout.instanceDir(address), '.instance.json.tmp-1-1'), '{');
  const volumes = layout.volumesDir(address);
  await mkdir(join(volumes, '.config.ext4.tmp-aBc123/tree'), { recursive: true });
  await writeFile(join(volumes, '.config.ext4.tmp-aBc123/image'), 'x');
  await writeFile(join(volumes, '.data.ext4.tmp-12-disk'), 'x');
  await writeFile(join(volumes, 'data.ext4'), 'x');
  const store = await openStateStore(layout);
  expect(store.damaged).toEqual([]);
  expect(await readdir(layout.instancesDir(address))).toEqual(['i-0a1b2c3d']);
  expect((await readdir(layout.instanceDir(address))).sort()).toEqual(['instance.json', 'volumes']);
  expect(await readdir(volumes)).toEqual(['data.ext4']);
});

test('a removed tenant leaves its audit log, and nothing else', async () => {
  await cp(peerTree, dir, { recursive: true });
  const store = await openStateStore(layout);
  const entry = {
    at: '2026-11-23T00:00:00.000Z',
    op_id: 'x',
    operation: 'remove_tenant',
    tenant_id: 'acme',
    pool_id: null,
    instance_id: null,
    peer: null,
    result: 'ok' as const,
    code: null,
    reason: null,
    message: null,
    duration_ms: 1,
  };
  const audit = createAuditLog(layout);
  await Promise.all([audit.append(entry), audit.append({ ...entry, op_id: 'y' })]);
  await store.removeInstance(address);
  await store.removePool(address);
  await store.removeTenant('acme');
  expect((await readdir(layout.tenantDir('acme'))).sort()).toEqual(['audit.head', 'audit.log']);
  const lines = (await readFile(layout.auditLog('acme'), 'utf8')).trim().split('\n');
  expect(lines.map((line) => JSON.parse(line).op_id)).toEqual(['x', 'y']);
  const again = await openStateStore(layout);
  expect(again.tenants()).toEqual([]);
});

test('the secrets of a tenant go before its record does, and its removal can be repeated', async () => {
  const store = await openStateStore(layout);
  await store.saveTenant(tenantRecord({ tenant_id: 'acme' }));
  const secrets = join(layout.tenantDir('acme'), 'secrets.json');
  const record = layout.tenantRecord('acme');
  await writeFile(secrets, '{}');
  await rename(record, `${record}.aside`);
  await mkdir(record);
  await expect(store.removeTenant('acme')).rejects.toMatchObject({ reason: 'state.io_error' });
  await expect(stat(secrets)).rejects.toThrow('ENOENT');
  await rmdir(record);
  await store.removeTenant('acme');
  expect(store.tenants()).toEqual([]);
});

test('a tenant that was never recorded gets no audit log', async () => {
  const store = await openStateStore(layout);
  expect(store.tenants()).toEqual([]);
  await createAuditLog(layout).append({
    at: '',
    op_id: '',
    operation: 'start',
    tenant_id: 'made-up',
    pool_id: null,
    instance_id: null,
    peer: null,
    result: 'error',
    code: null,
    reason: null,
    message: null,
    duration_ms: 0,
  });
  expect(await readdir(layout.tenantsDir)).toEqual([]);
});
