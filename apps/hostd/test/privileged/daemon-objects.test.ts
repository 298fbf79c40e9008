import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostdClient } from '@mvm/hostd-client';
import type { RunningDaemon } from '@mvm/testkit';
import { createHost, type Host } from '@mvm/testkit/host';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { DEFAULT_QUOTAS } from '../../src/plan/plan-tenant.js';
import { ensureTenantAndPool, netOf, poolSpec } from '../tenants.js';

let host: Host;
let daemon: RunningDaemon;
let client: HostdClient;

beforeEach(async () => {
  host = await createHost();
  daemon = await host.start();
  client = host.client();
});
afterEach(async () => {
  // The namespace is shared by the tests of this file: give back what they made.
  for (const { tenant_id, pools } of (await client.request({ type: 'ListTenants' })).tenants) {
    for (const { pool_id } of pools) {
      const { instances } = await client.request({ type: 'ListInstances', tenant_id, pool_id });
      for (const { instance_id } of instances) {
        const address = { tenant_id, pool_id, instance_id };
        await client.request({ type: 'DestroyInstance', ...address, wipe_volumes: false });
      }
      await client.request({ type: 'RemovePool', tenant_id, pool_id });
    }
    await client.request({ type: 'RemoveTenant', tenant_id });
  }
  await host.dispose();
});

const create = (
  tenant_id: string,
  instance_id?: string,
): ReturnType<typeof client.request<{ type: 'CreateInstance'; tenant_id: string; pool_id: string }>> =>
  client.request({
    type: 'CreateInstance',
    tenant_id,
    pool_id: 'workers',
    ...(instance_id === undefined ? {} : { instance_id }),
  });

test('tenants, pools and instances are recorded, listed, and survive a restart', async () => {
  await ensureTenantAndPool(client, 'acme', 3);
  await ensureTenantAndPool(client, 'acme', 3);
  const generated = await create('acme');
  expect(generated.instance_id).toMatch(/^i-[0-9a-f]{8}$/);
  await create('acme', 'named');
  const before = await client.request({ type: 'ListInstances' });
  expect(before.instances.map((instance) => instance.net?.tap_dev).sort()).toEqual(['tn3i3', 'tn3i4']);
  const tenants = await client.request({ type: 'ListTenants' });
  expect(tenants.tenants).toMatchObject([
    { tenant_id: 'acme', network_up: true, net: netOf(3), pools: [{ pool_id: 'workers', image: null }] },
  ]);
  await daemon.kill();
  await host.start();
  expect(await client.request({ type: 'ListInstances' })).toEqual(before);
  expect(await client.request({ type: 'ListTenants' })).toEqual(tenants);
});

test('an address is never shared, also when instances are created at the same time', async () => {
  await ensureTenantAndPool(client, 'acme', 3);
  const made = await Promise.all(Array.from({ length: 12 }, () => create('acme')));
  expect(new Set(made.map((instance) => instance.net?.guest_ip)).size).toBe(12);
  expect(new Set(made.map((instance) => instance.net?.mac)).size).toBe(12);
  const [first] = made;
  const address = { tenant_id: 'acme', pool_id: 'workers', instance_id: first?.instance_id ?? '' };
  await client.request({ type: 'DestroyInstance', ...address, wipe_volumes: false });
  expect((await create('acme')).net).toEqual(first?.net);
});

test('two tenants that want the same network at the same time: one gets it', async () => {
  const ensure = (tenant_id: string): Promise<unknown> =>
    client.request({ type: 'EnsureTenant', tenant_id, net: netOf(3), quotas: DEFAULT_QUOTAS });
  const results = await Promise.allSettled([ensure('acme'), ensure('globex')]);
  expect(results.map((result) => result.status).sort()).toEqual(['fulfilled', 'rejected']);
  expect(results.find((result) => result.status === 'rejected')).toMatchObject({
    reason: { code: 'already_exists', reason: 'tenant.net_clash' },
  });
});

test('lists are answered in pages that join without gap or repetition', async () => {
  await ensureTenantAndPool(client, 'acme', 3);
  await ensureTenantAndPool(client, 'globex', 4);
  for (let i = 0; i < 7; i++) await create(i % 2 === 0 ? 'acme' : 'globex');
  const seen: string[] = [];
  let cursor: string | null = null;
  do {
    const page: { instances: { tenant_id: string; instance_id: string }[]; next_cursor: string | null } =
      await client.request({ type: 'ListInstances', cursor, limit: 3 });
    expect(page.instances.length).toBeLessThanOrEqual(3);
    seen.push(...page.instances.map((instance) => `${instance.tenant_id}/${instance.instance_id}`));
    cursor = page.next_cursor;
  } while (cursor !== null);
  expect(seen).toHaveLength(7);
  expect(seen).toEqual([...new Set(seen)].sort());
});

test('what has children is not removed, what is unknown is not found', async () => {
  await ensureTenantAndPool(client, 'acme', 3);
  await create('acme', 'one');
  const pool = { tenant_id: 'acme', pool_id: 'workers' };
  await expect(client.request({ type: 'RemoveTenant', tenant_id: 'acme' })).rejects.toMatchObject({
    reason: 'tenant.has_pools',
  });
  await expect(client.request({ type: 'RemovePool', ...pool })).rejects.toMatchObject({
    reason: 'pool.has_instances',
  });
  await expect(create('nobody')).rejects.toMatchObject({ code: 'not_found', reason: 'tenant.not_found' });
  await expect(
    client.request({ type: 'DescribeInstance', ...pool, instance_id: 'two' }),
  ).rejects.toMatchObject({ reason: 'instance.not_found' });
  await expect(create('acme', 'one')).rejects.toMatchObject({ reason: 'instance.exists' });
});

test('quotas of pools and instances hold', async () => {
  await ensureTenantAndPool(client, 'acme', 3, { quotas: { max_pools: 1, max_instances_per_pool: 1 } });
  await expect(
    client.request({ type: 'EnsurePool', tenant_id: 'acme', pool_id: 'second', spec: poolSpec() }),
  ).rejects.toMatchObject({ code: 'resource_exhausted', reason: 'quota.exceeded' });
  await create('acme');
  await expect(create('acme')).rejects.toMatchObject({ reason: 'quota.exceeded' });
});

test.each([
  ['a bridge that is not ours', { bridge_name: 'docker0' }, 'net.bridge_mismatch'],
  ['a bridge with a shell’s words', { bridge_name: 'br; reboot' }, 'net.bridge_mismatch'],
  [
    'a subnet outside the range',
    { ipv4_subnet: '192.168.3.0/24', gateway_ip: '192.168.3.1' },
    'net.subnet_outside_cluster',
  ],
  ['host bits', { ipv4_subnet: '10.240.3.1/24' }, 'net.invalid_cidr'],
  ['a gateway that is not the first address', { gateway_ip: '10.240.3.2' }, 'net.gateway_mismatch'],
  ['a net id beyond 4095', { tenant_net_id: 4096 }, 'net.id_out_of_range'],
])('%s is refused, and nothing is recorded', async (_what, change, reason) => {
  const net = { ...netOf(3), ...change };
  await expect(
    client.request({ type: 'EnsureTenant', tenant_id: 'acme', net, quotas: DEFAULT_QUOTAS }),
  ).rejects.toMatchObject({ code: 'invalid_argument', reason });
  await expect(client.request({ type: 'SetupNetwork', tenant_id: 'acme', net })).rejects.toMatchObject({
    reason,
    message: expect.stringMatching(/^setup network failed: /),
  });
  expect((await client.request({ type: 'ListTenants' })).tenants).toEqual([]);
});

test('the audit log can be read and verified, a removed tenant’s too, and what was changed in it is named', async () => {
  await ensureTenantAndPool(client, 'acme', 3);
  for (const id of ['one', 'two', 'three']) await create('acme', id);
  const first = await client.request({ type: 'AuditLog', tenant_id: 'acme', limit: 3 });
  expect(first.entries.map(({ operation }) => operation)).toEqual(['ensure_tenant', 'ensure_pool', 'create']);
  const rest = await client.request({ type: 'AuditLog', tenant_id: 'acme', cursor: first.next_cursor });
  expect(rest.entries.map(({ seq, instance_id }) => [seq, instance_id])).toEqual([
    [4, 'two'],
    [5, 'three'],
  ]);
  const later = await client.request({ type: 'AuditLog', tenant_id: 'acme', since: '2100-01-01T00:00:00Z' });
  expect(later).toMatchObject({ entries: [], next_cursor: null });
  await ensureTenantAndPool(client, 'gone', 4);
  await client.request({ type: 'RemovePool', tenant_id: 'gone', pool_id: 'workers' });
  await client.request({ type: 'RemoveTenant', tenant_id: 'gone' });
  const verified = async (): Promise<[string, number][]> =>
    (await client.request({ type: 'VerifyAudit' })).reports.map((each) => [
      each.tenant_id,
      each.problem_count,
    ]);
  expect(await verified()).toEqual([
    ['acme', 0],
    ['gone', 0],
  ]);
  const path = join(host.stateDir, 'tenants/acme/audit.log');
  await writeFile(path, (await readFile(path, 'utf8')).replace('"instance_id":"two"', '"instance_id":"owt"'));
  await create('acme', 'four');
  expect(await verified()).toEqual([
    ['acme', 1],
    ['gone', 0],
  ]);
  const { reports } = await client.request({ type: 'VerifyAudit', tenant_id: 'acme' });
  expect(reports[0]?.problems).toMatchObject([{ line: 4, reason: 'audit.line_changed' }]);
  for (const request of [
    { type: 'AuditLog', tenant_id: 'nobody' },
    { type: 'VerifyAudit', tenant_id: 'nobody' },
  ] as const) {
    await expect(client.request(request)).rejects.toMatchObject({ reason: 'audit.not_found' });
  }
  await expect(client.request({ type: 'AuditLog', tenant_id: 'acme', cursor: '../x' })).rejects.toMatchObject(
    { reason: 'page.invalid_cursor' },
  );
});

test('every change is in the tenant’s audit log, with who asked', async () => {
  await ensureTenantAndPool(client, 'acme', 3);
  await create('acme', 'one');
  await create('acme', 'one').catch(() => {});
  const log = await readFile(join(host.stateDir, 'tenants/acme/audit.log'), 'utf8');
  const entries = log
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(entries.map((entry) => [entry.operation, entry.result, entry.reason])).toEqual([
    ['ensure_tenant', 'ok', null],
    ['ensure_pool', 'ok', null],
    ['create', 'ok', null],
    ['create', 'error', 'instance.exists'],
  ]);
  expect(new Set(entries.map((entry) => entry.peer.pid))).toEqual(new Set([process.pid]));
  expect(new Set(entries.map((entry) => entry.op_id)).size).toBe(4);
});

test('the audit log says on whose behalf the caller asked, in one line, beside who the caller is', async () => {
  await ensureTenantAndPool(client, 'acme', 3);
  const address = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'one' };
  const cause = `api\n{"operation":"forged"}${'x'.repeat(300)}`;
  await client.request({ type: 'CreateInstance', ...address }, { origin: { uid: 1000, cause } });
  const log = await readFile(join(host.stateDir, 'tenants/acme/audit.log'), 'utf8');
  const last = JSON.parse(log.trim().split('\n').at(-1) ?? '');
  expect(last).toMatchObject({
    operation: 'create',
    peer: { pid: process.pid, uid: process.getuid?.() },
    details: { for_uid: 1000, cause: expect.stringMatching(/^api \{"operation":"forged"\}x+$/) },
  });
  expect(last.details.cause).toHaveLength(256);
});
