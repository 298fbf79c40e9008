import type { HostdClient } from '@mvm/hostd-client';
import { type CodedError, isCodedError, type NetworkPolicy, type PoolNetworkPolicy } from '@mvm/protocol';
import { createHost, type Host } from '@mvm/testkit/host';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { DEFAULT_QUOTAS } from '../../src/plan/plan-tenant.js';
import { type InProcessHostd, startInProcess } from '../fake-vmm/in-process.js';
import { netOf, poolSpec } from '../tenants.js';
import { type BrokenNft, breakNft, type NftFault } from './broken-nft.js';

// A change of policy that fails in its middle: nft and the kernel are real, the VMM is the fake VMM. Afterwards records and
// kernel say the same, wholly the old or wholly the new; an error has a reason; and the next attempt succeeds.

let host: Host;
let hostd: InProcessHostd | null = null;
let client: HostdClient;
let nft: BrokenNft;

const instance = { tenant_id: 'acme', pool_id: 'web', instance_id: 'one' };

const ensureTenant = (policy?: NetworkPolicy, tenant_id = 'acme', netId = 3) => {
  const base = { type: 'EnsureTenant', tenant_id, net: netOf(netId), quotas: DEFAULT_QUOTAS } as const;
  return client.request({ ...base, ...(policy === undefined ? {} : { policy }) });
};
const ensurePool = (policy?: PoolNetworkPolicy, tenant_id = 'acme') => {
  const spec = { ...poolSpec(), ...(policy === undefined ? {} : { network_policy: policy }) };
  return client.request({ type: 'EnsurePool', tenant_id, pool_id: 'web', spec });
};
const publish = (host_port: number): PoolNetworkPolicy['publish'] => [
  { protocol: 'tcp', host_port, guest_port: 80 },
];

/** Everything that the kernel has of ours; order is not told. */
async function kernel(): Promise<string[]> {
  return (await execa('nft', ['-s', 'list', 'ruleset'])).stdout.split('\n').toSorted();
}

async function recorded(): Promise<{ tenant: unknown; pool: unknown }> {
  const { tenants } = await client.request({ type: 'ListTenants' });
  const acme = tenants.find(({ tenant_id }) => tenant_id === 'acme');
  return { tenant: acme?.policy, pool: acme?.pools[0]?.network_policy };
}

const drifts = async (): Promise<unknown> => (await client.request({ type: 'VerifyNetwork' })).drifts;

/** The error of a request; null when it was granted. */
async function errorOf(request: Promise<unknown>): Promise<CodedError | null> {
  try {
    await request;
    return null;
  } catch (error) {
    if (isCodedError(error)) return error;
    throw error;
  }
}

beforeAll(async () => {
  host = await createHost();
  nft = breakNft(`${host.dir}/broken`);
}, 60_000);

afterAll(async () => {
  nft?.close();
  await host.dispose();
});

describe('nft refuses', () => {
  beforeAll(async () => {
    hostd = await startInProcess(host);
    await hostd.registerImage('demo');
    client = host.client();
    await ensureTenant();
    await ensurePool();
    await client.request({ type: 'CreateInstance', ...instance });
    await client.request({ type: 'StartInstance', ...instance });
  }, 60_000);

  afterAll(async () => {
    await client.request({ type: 'DestroyInstance', ...instance, wipe_volumes: false });
    await client.request({ type: 'RemovePool', tenant_id: 'acme', pool_id: 'web' });
    await client.request({ type: 'RemoveTenant', tenant_id: 'acme' });
    await client.close();
    await hostd?.close();
  });

  const OLD: PoolNetworkPolicy = { egress: 'none', publish: publish(8443), limits: { bandwidth_kbit: 1000 } };
  const NEW: PoolNetworkPolicy = {
    deny: [{ cidr: '203.0.113.0/24' }],
    isolate_instances: true,
    publish: publish(9443),
    limits: { connections: 7 },
  };
  const { publish: _none, ...NEW_TENANT } = NEW;
  const CHANGES = [
    { what: 'a pool’s policy', to: { pool: NEW }, apply: () => ensurePool(NEW) },
    {
      what: 'a tenant’s policy',
      to: { pool: OLD, tenant: NEW_TENANT },
      apply: () => ensureTenant(NEW_TENANT),
    },
    { what: 'no policy any more', to: { pool: undefined }, apply: () => ensurePool() },
  ];
  const FAULTS: readonly (readonly NftFault[])[] = [
    ['refuse'],
    ['refuse', 'refuse'],
    ['refuse', 'refuse', 'refuse'],
    ['late'],
    ['late', 'refuse'],
    ['refuse', 'late'],
  ];

  beforeEach(async () => {
    nft.next();
    await ensureTenant();
    await ensurePool(OLD);
  });

  test.each(
    CHANGES.flatMap((change) => FAULTS.map((faults) => ({ ...change, faults, how: faults.join(', ') }))),
  )('$what: $how', async ({ apply, faults, to }) => {
    const before = { kernel: await kernel(), records: await recorded() };
    nft.next(...faults);
    const error = await errorOf(apply());
    nft.next();
    if (error !== null) expect(error).toMatchObject({ code: 'internal', reason: 'net.nft_failed' });
    // Refused once, everything is looked at and tried again.
    expect(error === null).toBe(
      faults.filter((fault) => fault === 'refuse').length < 2 && faults.join() !== 'refuse,late',
    );
    expect(await drifts()).toEqual([]);
    if (error !== null) expect({ kernel: await kernel(), records: await recorded() }).toEqual(before);
    else expect(await recorded()).toEqual({ tenant: undefined, ...to });
    await apply();
    const after = { kernel: await kernel(), records: await recorded() };
    expect(after.records).toEqual({ tenant: undefined, ...to });
    expect(await drifts()).toEqual([]);
    // The same as by a change that met nothing.
    await ensureTenant();
    await ensurePool(OLD);
    await apply();
    expect(await kernel()).toEqual(after.kernel);
  });

  test('a host port that is given up and not, while another pool wants it', async () => {
    await ensureTenant(undefined, 'globex', 4);
    for (const faults of [['refuse', 'refuse'], ['refuse'], ['late', 'refuse'], []] as const) {
      await ensurePool({}, 'globex');
      await ensurePool(OLD);
      nft.next(...faults);
      const errors = await Promise.all([errorOf(ensurePool(NEW)), errorOf(ensurePool(OLD, 'globex'))]);
      nft.next();
      for (const error of errors) {
        if (error !== null) expect(['net.nft_failed', 'net.port_taken', 'net.clash']).toContain(error.reason);
      }
      const { tenants } = await client.request({ type: 'ListTenants' });
      const ports = tenants.flatMap(({ pools }) =>
        pools.flatMap(({ network_policy: policy }) => policy?.publish ?? []),
      );
      expect(new Set(ports.map(({ host_port }) => host_port)).size, JSON.stringify(tenants)).toBe(
        ports.length,
      );
      expect(await drifts()).toEqual([]);
      await ensurePool(NEW);
      await ensurePool(OLD, 'globex');
      expect((await recorded()).pool).toEqual(NEW);
    }
    await client.request({ type: 'RemovePool', tenant_id: 'globex', pool_id: 'web' });
    await client.request({ type: 'RemoveTenant', tenant_id: 'globex' });
  });

  test('a pool that cannot be removed is there, with its policy, and can be removed later', async () => {
    await ensureTenant(undefined, 'globex', 4);
    await ensurePool({ publish: publish(9443) }, 'globex');
    const remove = () => client.request({ type: 'RemovePool', tenant_id: 'globex', pool_id: 'web' });
    // Without the bridge the short way is not enough, and what there is must be listed. First nothing can be: hostd's own
    // look at its tables, every 10 s, would find the bridge gone and make it anew.
    nft.blind(true);
    await execa('ip', ['link', 'del', 'br-tenant-4']);
    const error = await errorOf(remove());
    nft.blind(false);
    expect(error).toMatchObject({ code: 'internal', reason: 'net.nft_failed' });
    const { tenants } = await client.request({ type: 'ListTenants' });
    expect(tenants.find(({ tenant_id }) => tenant_id === 'globex')?.pools).toMatchObject([
      { network_policy: { publish: publish(9443) } },
    ]);
    await remove();
    expect(await drifts()).toEqual([]);
    // Nobody has its port any more.
    await ensurePool({ publish: publish(9443) });
    await client.request({ type: 'RemoveTenant', tenant_id: 'globex' });
  });
});

describe('hostd is killed in nft', () => {
  afterEach(() => nft.next());

  test.each(['kill-before', 'kill-after'] as const)(
    '%s: the next one has it as it is recorded',
    async (fault) => {
      const first = await host.start();
      client = host.client();
      await ensureTenant({ egress: 'none' });
      nft.next(fault);
      await expect(ensureTenant({ egress: 'open' })).rejects.toMatchObject({ code: 'unavailable' });
      expect(nft.left()).toBe(0);
      await first.kill();
      await client.close();
      const second = await host.start();
      client = host.client();
      expect(await drifts()).toEqual([]);
      const { tenant } = await recorded();
      expect([{ egress: 'none' }, { egress: 'open' }]).toContainEqual(tenant);
      const map = (await execa('nft', ['list', 'map', 'inet', 'mvm', 'egress'])).stdout;
      expect(map.includes('goto egress_open')).toBe(
        JSON.stringify(tenant) === JSON.stringify({ egress: 'open' }),
      );
      await ensureTenant({ egress: 'open' });
      expect(await drifts()).toEqual([]);
      await client.request({ type: 'RemoveTenant', tenant_id: 'acme' });
      await client.close();
      await second.stop();
    },
  );
});
