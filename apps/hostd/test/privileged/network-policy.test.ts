import type { HostdClient } from '@mvm/hostd-client';
import type { NetworkPolicy, PoolNetworkPolicy, PoolSpec } from '@mvm/protocol';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { DEFAULT_QUOTAS } from '../../src/plan/plan-tenant.js';
import { createTestHost, netOf, poolSpec, type TestHost } from '../daemon.js';
import { type InProcessHostd, startInProcess } from '../stand-in/in-process.js';

// Records, requests and the kernel's tables are real; the VMM is the stand-in. What the rules do to packets is proven in
// packages/net-executor.

let host: TestHost;
let hostd: InProcessHostd;
let client: HostdClient;

const instance = { tenant_id: 'acme', pool_id: 'web', instance_id: 'one' };
const GUEST = '10.240.3.3';

const ensureTenant = (policy?: NetworkPolicy, tenant_id = 'acme', netId = 3) =>
  client.request({
    type: 'EnsureTenant',
    tenant_id,
    net: netOf(netId),
    quotas: DEFAULT_QUOTAS,
    ...(policy === undefined ? {} : { policy }),
  });

const ensurePool = (network_policy?: PoolNetworkPolicy, tenant_id = 'acme', pool_id = 'web') => {
  const spec: PoolSpec = { ...poolSpec(), ...(network_policy === undefined ? {} : { network_policy }) };
  return client.request({ type: 'EnsurePool', tenant_id, pool_id, spec });
};

/** A map of ours as the kernel has it, key → value. */
async function map(name: string): Promise<Record<string, string>> {
  const { stdout } = await execa('nft', ['list', 'map', 'inet', 'mvm', name]);
  const pairs = /elements = \{([^}]*)\}/.exec(stdout)?.[1] ?? '';
  return Object.fromEntries(
    pairs
      .split(',')
      .map((pair) => pair.trim().split(' : '))
      .filter(([key]) => key !== '')
      .map(([key = '', value = '']) => [key, value]),
  );
}

/** The rules of the chain that a map leads a guest to. */
async function rulesOf(name: 'guest_out' | 'guest_in'): Promise<string> {
  const chain = (await map(name))[GUEST]?.split(' ')[1];
  if (chain === undefined) return '';
  return (await execa('nft', ['list', 'chain', 'inet', 'mvm', chain])).stdout;
}

const drifts = async (): Promise<unknown> => (await client.request({ type: 'VerifyNetwork' })).drifts;
const pidOf = async (): Promise<number | null> =>
  (await client.request({ type: 'DescribeInstance', ...instance })).pid;

async function start(): Promise<void> {
  await client.request({ type: 'CreateInstance', ...instance });
  await client.request({ type: 'StartInstance', ...instance });
}

beforeAll(async () => {
  await execa('ip', ['link', 'set', 'lo', 'up']);
  host = await createTestHost();
  hostd = await startInProcess(host);
  await hostd.registerImage('demo');
  client = host.client();
}, 60_000);

beforeEach(async () => {
  await ensureTenant();
  await ensurePool();
});

afterEach(async () => {
  const { instances } = await client.request({ type: 'ListInstances' });
  for (const { tenant_id, pool_id, instance_id } of instances) {
    await client.request({ type: 'DestroyInstance', tenant_id, pool_id, instance_id, wipe_volumes: false });
  }
  for (const { tenant_id, pools } of (await client.request({ type: 'ListTenants' })).tenants) {
    for (const { pool_id } of pools) await client.request({ type: 'RemovePool', tenant_id, pool_id });
    await client.request({ type: 'RemoveTenant', tenant_id });
  }
});

afterAll(async () => {
  await client.close();
  await hostd.close();
  await host.dispose();
});

test('a policy applies to a running instance at once, without a restart, and is shown, changed and taken back', async () => {
  await start();
  const pid = await pidOf();
  const policy: NetworkPolicy = { deny: [{ cidr: '203.0.113.0/24' }], limits: { bandwidth_kbit: 1000 } };
  expect(await ensureTenant(policy)).toMatchObject({ policy });
  expect(await rulesOf('guest_out')).toMatch(
    /125000 bytes\/second[\s\S]*203\.0\.113\.0\/24 counter name "c_denied" drop/,
  );
  expect(await rulesOf('guest_in')).toContain('125000 bytes/second');
  const web: PoolNetworkPolicy = {
    deny: [],
    limits: { bandwidth_kbit: 0 },
    publish: [{ protocol: 'tcp', host_port: 8443, guest_port: 443 }],
  };
  expect(await ensurePool(web)).toMatchObject({ network_policy: web });
  expect(await map('guest_out')).toEqual({ [GUEST]: 'jump egress_internet' });
  expect(await map('guest_in')).toEqual({});
  expect(await map('publish')).toEqual({ 'tcp . 8443': `${GUEST} . 443` });
  expect(await drifts()).toEqual([]);
  const { tenants } = await client.request({ type: 'ListTenants' });
  expect(tenants).toMatchObject([{ policy, pools: [{ network_policy: web }] }]);
  expect(await ensurePool()).not.toHaveProperty('network_policy');
  expect(await ensureTenant()).not.toHaveProperty('policy');
  expect([await map('guest_out'), await map('publish')]).toEqual([{}, {}]);
  expect(await map('egress')).toEqual({ '"br-tenant-3"': 'goto egress_internet' });
  expect(await drifts()).toEqual([]);
  expect(await pidOf()).toBe(pid);
});

test('an instance has its policy from its start, through sleep and wake, and takes it away with it', async () => {
  await ensurePool({
    egress: 'none',
    publish: [{ protocol: 'udp', host_port: 53, guest_port: 53, instance_id: 'one' }],
  });
  expect(await map('publish')).toEqual({});
  await start();
  const applied = async () => [await map('guest_out'), await map('publish'), await drifts()];
  const there = [{ [GUEST]: 'jump egress_none' }, { 'udp . 53': `${GUEST} . 53` }, []];
  expect(await applied()).toEqual(there);
  await client.request({ type: 'SleepInstance', ...instance, force: true });
  expect(await applied()).toEqual([{}, {}, []]);
  await client.request({ type: 'WakeInstance', ...instance });
  expect(await applied()).toEqual(there);
  await client.request({ type: 'StopInstance', ...instance });
  expect(await applied()).toEqual([{}, {}, []]);
});

test('a restarted hostd finds the policy in its records, and applies it, whatever became of the tables', async () => {
  await ensureTenant({ limits: { connections: 7 } });
  await start();
  const rules = await rulesOf('guest_out');
  const pid = await pidOf();
  await client.close();
  await hostd.close();
  await execa('nft', ['flush', 'ruleset']);
  hostd = await startInProcess(host);
  client = host.client();
  expect(await rulesOf('guest_out')).toBe(rules.replaceAll(/handle \d+/g, ''));
  expect(await drifts()).toEqual([]);
  expect(await pidOf()).toBe(pid);
});

test('a host port that another pool publishes is refused, and names that pool', async () => {
  const publish: PoolNetworkPolicy = { publish: [{ protocol: 'tcp', host_port: 443, guest_port: 443 }] };
  await ensurePool(publish);
  await ensureTenant(undefined, 'globex', 4);
  await ensurePool(undefined, 'globex');
  await expect(ensurePool(publish, 'globex')).rejects.toMatchObject({
    code: 'already_exists',
    reason: 'net.port_taken',
    message: expect.stringContaining('acme/web'),
  });
  expect((await client.request({ type: 'ListTenants' })).tenants[1]?.pools[0]).not.toHaveProperty(
    'network_policy',
  );
  // At the same time: one gets it.
  await ensurePool();
  const results = await Promise.allSettled([ensurePool(publish), ensurePool(publish, 'globex')]);
  expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  await ensurePool();
  await ensurePool(publish, 'globex');
  expect(await drifts()).toEqual([]);
});

test('a policy that cannot be enforced is refused before anything is recorded or run', async () => {
  const before = (await execa('nft', ['-s', 'list', 'ruleset'])).stdout;
  const records = await client.request({ type: 'ListTenants' });
  for (const cidr of ['10.0.0.1/8', '0.0.0.0/0 accept', '::/0', '$(reboot)']) {
    for (const send of [() => ensureTenant({ allow: [{ cidr }] }), () => ensurePool({ deny: [{ cidr }] })]) {
      await expect(send()).rejects.toMatchObject({ code: 'invalid_argument' });
    }
  }
  expect(await client.request({ type: 'ListTenants' })).toEqual(records);
  expect((await execa('nft', ['-s', 'list', 'ruleset'])).stdout).toBe(before);
});

test('SetupNetwork of version 1 leaves a policy alone', async () => {
  const policy: NetworkPolicy = { egress: 'none' };
  await ensureTenant(policy);
  await host.v1({ SetupNetwork: { tenant_id: 'acme', net: netOf(3) } });
  expect((await client.request({ type: 'ListTenants' })).tenants).toMatchObject([{ policy }]);
  expect(await map('egress')).toEqual({});
});
