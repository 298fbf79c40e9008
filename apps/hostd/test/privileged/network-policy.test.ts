import { once } from 'node:events';
import { createServer } from 'node:net';
import type { HostdClient } from '@mvm/hostd-client';
import type { NetworkPolicy, PoolNetworkPolicy, PoolSpec } from '@mvm/protocol';
import { createHost, type Host } from '@mvm/testkit/host';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { DEFAULT_QUOTAS } from '../../src/plan/plan-tenant.js';
import { type InProcessHostd, startInProcess } from '../fake-vmm/in-process.js';
import { netOf, poolSpec } from '../tenants.js';

// Records, requests and the kernel's tables are real; the VMM is the fake VMM. What the rules do to packets is proven in
// packages/net-executor.

let host: Host;
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
  host = await createHost();
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

test('finding 14: a port of the host that is below the range, or that the host listens on, is not published', async () => {
  const publish = (host_port: number): PoolNetworkPolicy => ({
    publish: [{ protocol: 'tcp', host_port, guest_port: 22 }],
  });
  await expect(ensurePool(publish(22))).rejects.toMatchObject({
    code: 'permission_denied',
    reason: 'net.port_not_allowed',
  });
  const server = createServer().listen(8444, '0.0.0.0');
  await once(server, 'listening');
  try {
    await expect(ensurePool(publish(8444))).rejects.toMatchObject({
      code: 'already_exists',
      reason: 'net.port_in_use',
    });
  } finally {
    server.close();
  }
  expect(await map('publish')).toEqual({});
  await ensurePool(publish(8444));
  await ensurePool({});
});

test('a subnet of which the host has an address or a route is refused, and seen when it comes later', async () => {
  await execa('ip', ['link', 'add', 'vpn0', 'type', 'bridge']);
  await execa('ip', ['address', 'add', '10.240.77.9/32', 'dev', 'vpn0']);
  await execa('ip', ['link', 'set', 'vpn0', 'up']);
  await execa('ip', ['route', 'add', '10.240.78.0/24', 'dev', 'vpn0', 'table', '52']);
  try {
    for (const netId of [77, 78]) {
      await expect(ensureTenant(undefined, 'globex', netId)).rejects.toMatchObject({
        code: 'already_exists',
        reason: 'net.subnet_in_use',
        message: expect.stringContaining(`10.240.${netId}.`),
      });
    }
    await ensureTenant(undefined, 'globex', 79);
    expect(await drifts()).toEqual([]);
    await execa('ip', ['route', 'add', '10.240.79.128/25', 'dev', 'vpn0']);
    expect(await drifts()).toEqual([
      expect.objectContaining({ detail: expect.stringContaining('10.240.79.128/25') }),
    ]);
    // What stands is not refused for it.
    await ensureTenant(undefined, 'globex', 79);
  } finally {
    await execa('ip', ['link', 'delete', 'vpn0']);
  }
  expect(await drifts()).toEqual([]);
});

test('an instance has its policy from its start, through sleep and wake, and takes it away with it', async () => {
  await ensurePool({
    egress: 'none',
    publish: [{ protocol: 'udp', host_port: 5353, guest_port: 53, instance_id: 'one' }],
  });
  expect(await map('publish')).toEqual({});
  await start();
  const applied = async () => [await map('guest_out'), await map('publish'), await drifts()];
  const there = [{ [GUEST]: 'jump egress_none' }, { 'udp . 5353': `${GUEST} . 53` }, []];
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
  const publish: PoolNetworkPolicy = { publish: [{ protocol: 'tcp', host_port: 4443, guest_port: 443 }] };
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
