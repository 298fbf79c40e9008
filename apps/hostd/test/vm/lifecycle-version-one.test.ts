import type { Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ensureTenantAndPool } from '../tenants.js';
import { createVmHost, greeting, leftSince, look } from './vm-host.js';

// Every request of version 1 by a client that was written from its description alone and shares no code with ours;
// version 2 only makes what version 1 cannot: pool and instance.

let host: Host;

beforeAll(async () => {
  host = await createVmHost();
  await host.start();
}, 240_000);
afterAll(() => host.dispose());

test('a version 1 peer drives an instance through its life', async () => {
  const net = {
    tenant_net_id: 3,
    ipv4_subnet: '10.240.3.0/24',
    gateway_ip: '10.240.3.1',
    bridge_name: 'br-tenant-3',
  };
  const ids = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-1' };
  const clean = await look(host);
  expect(await host.v1('"Ping"')).toBe('Pong');
  expect(await host.v1({ SetupNetwork: { tenant_id: 'acme', net } })).toBe('Ok');
  expect(await host.v1({ SetupNetwork: { tenant_id: 'acme', net } })).toBe('Ok');
  const client = host.client();
  await ensureTenantAndPool(client, 'acme', 3);
  await client.request({ type: 'CreateInstance', ...ids });
  const quiet = await look(host);

  expect(await host.v1({ StartInstance: ids })).toBe('Ok');
  expect(await greeting(client, ids)).toContain('gateway_ping=ok');
  expect(await host.v1({ StartInstance: ids })).toEqual({
    Error: { message: expect.stringMatching(/^start failed: .*running/) },
  });
  expect(await host.v1({ WakeInstance: ids })).toEqual({
    Error: { message: expect.stringMatching(/^wake failed: .*running/) },
  });
  expect(await host.v1({ SleepInstance: { ...ids, force: true, drain_timeout_secs: null } })).toBe('Ok');
  expect(await host.v1({ SleepInstance: { ...ids, force: true } })).toEqual({
    Error: { message: expect.stringMatching(/^sleep failed: .*sleeping/) },
  });
  expect(await host.v1({ WakeInstance: ids })).toBe('Ok');
  expect(await host.v1({ TeardownNetwork: { tenant_id: 'acme', net } })).toEqual({
    Error: { message: expect.stringMatching(/^teardown network failed: .*run/) },
  });
  expect(await host.v1({ SetupNetwork: { tenant_id: 'acme', net: { ...net, bridge_name: 'br0' } } })).toEqual(
    {
      Error: { message: expect.stringMatching(/^setup network failed: .*br0/) },
    },
  );
  expect(await host.v1({ StopInstance: ids })).toBe('Ok');
  expect(await host.v1({ StopInstance: ids })).toEqual({
    Error: { message: expect.stringMatching(/^stop failed: .*stopped/) },
  });
  expect(await host.v1({ WakeInstance: ids })).toEqual({
    Error: { message: expect.stringMatching(/^wake failed: .*stopped/) },
  });
  expect(await leftSince(host, quiet)).toEqual([]);
  expect(await host.v1({ DestroyInstance: { ...ids, wipe_volumes: true } })).toBe('Ok');
  expect(await host.v1({ DestroyInstance: { ...ids, wipe_volumes: true } })).toEqual({
    Error: { message: expect.stringMatching(/^destroy failed: /) },
  });
  expect(await host.v1({ TeardownNetwork: { tenant_id: 'acme', net } })).toBe('Ok');
  expect(await host.v1({ TeardownNetwork: { tenant_id: 'acme', net } })).toBe('Ok');
  expect((await leftSince(host, clean)).filter(({ kind }) => kind === 'links')).toEqual([]);
});
