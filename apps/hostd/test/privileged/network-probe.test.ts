import { execFileSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostdClient } from '@mvm/hostd-client';
import type { NetworkPolicy, NetworkProbe } from '@mvm/protocol';
import { type RunningDaemon, until } from '@mvm/testkit';
import { createHost, type Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { DEFAULT_QUOTAS } from '../../src/plan/plan-tenant.js';
import { ensureTenantAndPool, netOf } from '../tenants.js';

// hostd's capabilities as deploy/systemd/mvm-hostd.service has them: a probe needs no more.
const CAPABILITIES = [
  'net_admin',
  'setuid',
  'setgid',
  'sys_chroot',
  'kill',
  'chown',
  'dac_override',
  'fowner',
  'sys_ptrace',
  'sys_resource',
  'sys_admin',
];
const PREFIX = ['setpriv', `--bounding-set=-all,${CAPABILITIES.map((name) => `+${name}`).join(',')}`];

/** For what hostd may repair before it is seen, on a busy machine several times in a row. */
const PATIENCE_MS = 100_000;

let host: Host;
let daemon: RunningDaemon;
let client: HostdClient;

const run = (program: string, args: string[], input = ''): string =>
  execFileSync(program, args, { encoding: 'utf8', input });

beforeAll(async () => {
  run('ip', ['link', 'set', 'lo', 'up']);
  host = await createHost();
  // A way out that ends in this namespace: whatever is sent into it is counted, without asking for addresses first.
  run('ip', ['link', 'add', 'up0', 'type', 'veth', 'peer', 'name', 'up0end']);
  run('ip', ['link', 'set', 'up0', 'arp', 'off']);
  if (existsSync('/proc/sys/net/ipv6')) writeFileSync('/proc/sys/net/ipv6/conf/up0/disable_ipv6', '1');
  run('ip', ['link', 'set', 'up0end', 'up']);
  run('ip', ['address', 'add', '198.51.100.2/24', 'dev', 'up0']);
  run('ip', ['link', 'set', 'up0', 'up']);
  run('ip', ['route', 'add', 'default', 'via', '198.51.100.1']);
  daemon = await host.start({ prefix: PREFIX });
  client = host.client();
  await ensureTenantAndPool(client, 'acme', 3);
  await ensureTenantAndPool(client, 'globex', 4);
});
afterAll(() => host.dispose());

async function probe(tenant_id: string): Promise<NetworkProbe[]> {
  const { probes } = await client.request({ type: 'VerifyNetwork', tenant_id, deep: true });
  if (probes === null) throw new Error('deep was asked for');
  return probes;
}

const named = (probes: readonly NetworkProbe[], name: string): NetworkProbe | undefined =>
  probes.find((each) => each.name === name);

const bad = (probes: readonly NetworkProbe[]): string[] =>
  probes.filter(({ outcome }) => outcome === 'not_as_wanted').map(({ name, detail }) => `${name}: ${detail}`);

function sentByUplink(): number {
  const [link] = JSON.parse(run('ip', ['-j', '-s', 'link', 'show', 'up0'])) as {
    stats64: { tx: { packets: number } };
  }[];
  return link?.stats64.tx.packets ?? Number.NaN;
}

/** Whether anything of the reserved offset is in the kernel. */
function leftovers(): string[] {
  const text = `${run('ip', ['-o', 'link'])}\n${run('nft', ['list', 'ruleset'])}`;
  return text.split('\n').filter((line) => /\btn\d+i2\b/.test(line));
}

test('a network in order passes every probe, each blocked one counted, and nothing leaves the host', async () => {
  const before = sentByUplink();
  const audit = () => readFile(join(host.stateDir, 'tenants/acme/audit.log'), 'utf8');
  const audited = await audit();
  const probes = await probe('acme');
  expect(bad(probes)).toEqual([]);
  expect(probes.filter(({ outcome }) => outcome === 'skipped')).toEqual([]);
  expect(Object.fromEntries(probes.map(({ name, counter }) => [name, counter]))).toEqual({
    'gateway-arp': null,
    'gateway-ping': null,
    'other-tenant-alive': null,
    'spoofed-neighbour': 'c_ip',
    'spoofed-foreign': 'c_ip',
    'spoofed-mac': 'c_mac',
    'arp-claim': 'c_arp',
    'dhcp-server': 'c_dhcpsrv',
    ipv6: 'c_l2',
    'link-local-ip': 'c_linklocal',
    'link-local-arp': 'c_linklocal',
    'link-local-mac': 'c_linklocal',
    'vlan-tag': 'c_l2',
    'host-tcp': 'c_hostin',
    'host-udp': 'c_hostin',
    'host-address-1-ping': 'c_hostin',
    'host-address-1-tcp': 'c_hostin',
    'other-gateway': 'c_hostin',
    'other-guest-ping': null,
    'other-guest-tcp': null,
    'other-guest-direct': null,
    'other-guest-arp': null,
    'private-192': 'c_private',
    'private-172': 'c_private',
    'shared-100': 'c_private',
    metadata: 'c_private',
    'gateway-ping-again': null,
  });
  expect(sentByUplink()).toBe(before);
  expect(leftovers()).toEqual([]);
  expect(await audit()).toBe(audited);
  expect((await client.request({ type: 'VerifyNetwork' })).drift_count).toBe(0);
});

test('what other software drops before mvm’s rules see it is no hole', async () => {
  const bridge = 'br-tenant-3';
  run('nft', ['add', 'table', 'inet', 'other']);
  run('nft', ['add', 'chain', 'inet', 'other', 'pre', '{ type filter hook prerouting priority -310; }']);
  run('nft', ['add', 'rule', 'inet', 'other', 'pre', 'iifname', bridge, 'meta', 'l4proto', 'tcp', 'drop']);
  try {
    const probes = await probe('acme');
    expect(bad(probes)).toEqual([]);
    for (const name of ['host-tcp', 'host-address-1-tcp']) {
      expect(named(probes, name)).toMatchObject({
        outcome: 'skipped',
        detail: expect.stringContaining('other software'),
      });
    }
    expect(named(probes, 'host-udp')).toMatchObject({ outcome: 'as_wanted', counter: 'c_hostin' });
  } finally {
    run('nft', ['delete', 'table', 'inet', 'other']);
  }
});

// hostd looks every ten seconds and repairs: what is repaired before it is probed is broken once more.
test.each([
  {
    what: 'a guard that lets everything pass',
    damage: () => run('nft', ['insert', 'rule', 'bridge', 'mvm', 'guard', 'accept']),
    // `ipv6` and `vlan-tag` too: such frames get no answer, so only the missing count shows it.
    found: ['spoofed-mac', 'spoofed-neighbour', 'arp-claim', 'dhcp-server', 'ipv6', 'vlan-tag'],
  },
  {
    what: 'a host that is open to guests',
    damage: () => run('nft', ['insert', 'rule', 'inet', 'mvm', 'guest_input', 'accept']),
    found: ['host-tcp', 'host-address-1-ping', 'other-gateway'],
  },
  {
    what: 'tenants that reach each other by routing',
    damage: () => {
      run('nft', ['insert', 'rule', 'inet', 'mvm', 'from_guest', 'accept']);
      run('nft', ['insert', 'rule', 'inet', 'mvm', 'to_guest', 'accept']);
      if (run('ip', ['rule']).includes('91:')) run('ip', ['rule', 'del', 'pref', '91']);
    },
    found: ['other-guest-ping', 'other-guest-tcp'],
  },
  {
    what: 'tenants on one bridge',
    damage: () => {
      run('nft', ['insert', 'rule', 'bridge', 'mvm', 'guard', 'accept']);
      // Where bridged packets pass the inet table, that one stops them as well: not here.
      const bridgeNf = '/proc/sys/net/bridge/bridge-nf-call-iptables';
      if (existsSync(bridgeNf)) writeFileSync(bridgeNf, '0');
      run('ip', ['link', 'add', 'mvmh0', 'type', 'veth', 'peer', 'name', 'mvmh1']);
      run('ip', ['link', 'set', 'mvmh0', 'master', 'br-tenant-3', 'up']);
      run('ip', ['link', 'set', 'mvmh1', 'master', 'br-tenant-4', 'up']);
    },
    found: ['other-guest-direct', 'other-guest-arp'],
    undo: () => run('ip', ['link', 'delete', 'mvmh0']),
  },
  {
    what: 'finding 1: a guard that lets link-local frames pass to the host itself',
    // The peer's TAP is made as every TAP is, so the guard is what can fail; a rule that goes is restored at once.
    damage: () =>
      run('nft', [
        'insert',
        'rule',
        'bridge',
        'mvm',
        'guard',
        'ether',
        'daddr',
        '01:80:c2:00:00:0e',
        'accept',
      ]),
    found: ['link-local-ip'],
  },
] as const)('$what is found, and then nothing is sent outside', async ({ damage, found, ...rest }) => {
  const before = sentByUplink();
  const probes = await until(
    'the hole is found',
    async () => {
      damage();
      const seen = await probe('acme');
      if ('undo' in rest) rest.undo();
      return found.every((name) => named(seen, name)?.outcome === 'not_as_wanted') ? seen : null;
    },
    PATIENCE_MS,
  );
  expect(named(probes, 'metadata')).toMatchObject({
    outcome: 'skipped',
    detail: expect.stringContaining('not sent'),
  });
  expect(sentByUplink()).toBe(before);
  expect(leftovers()).toEqual([]);
  const { commands } = await client.request({ type: 'PlanNetwork' });
  for (const { program, args, script } of commands) run(program, [...args], script);
});

test('rules that are not as recorded keep what would leave from being sent', async () => {
  const before = sentByUplink();
  const probes = await until(
    'the changed chain is seen',
    async () => {
      run('nft', ['insert', 'rule', 'inet', 'mvm', 'egress_internet', 'accept']);
      const seen = await probe('acme');
      return named(seen, 'metadata')?.outcome === 'skipped' ? seen : null;
    },
    PATIENCE_MS,
  );
  expect(bad(probes)).toEqual([]);
  expect(named(probes, 'metadata')?.detail).toContain('not as recorded');
  expect(sentByUplink()).toBe(before);
  const { commands } = await client.request({ type: 'PlanNetwork' });
  for (const { program, args, script } of commands) run(program, [...args], script);
});

test('what the policy lets out is not tried, and no egress at all is counted as such', async () => {
  const before = sentByUplink();
  const net = netOf(3);
  const outside = ['private-192', 'private-172', 'shared-100', 'metadata'];
  const under = async (policy: NetworkPolicy) => {
    const ensure = { type: 'EnsureTenant', tenant_id: 'acme', net, quotas: DEFAULT_QUOTAS } as const;
    await client.request({ ...ensure, policy });
    const probes = await probe('acme');
    expect(bad(probes)).toEqual([]);
    return outside.map((name) => named(probes, name)?.counter ?? 'not tried');
  };
  expect(await under({ egress: 'none' })).toEqual(['c_none', 'c_none', 'c_none', 'c_none']);
  expect(await under({ egress: 'open' })).toEqual(outside.map(() => 'not tried'));
  const allow = [{ cidr: '192.168.0.0/16' }];
  expect(await under({ allow })).toEqual(['not tried', 'c_private', 'c_private', 'c_private']);
  expect(await under({})).toEqual(outside.map(() => 'c_private'));
  expect(sentByUplink()).toBe(before);
});

test('other software that stops guests is told from our rules by the controls', async () => {
  run(
    'nft',
    ['-f', '-'],
    'table inet other { chain in { type filter hook input priority -10; iifname "br-tenant-3" drop; }; }',
  );
  try {
    const probes = await probe('acme');
    expect(named(probes, 'gateway-ping')?.outcome).toBe('not_as_wanted');
    expect(named(probes, 'host-tcp')).toMatchObject({
      outcome: 'skipped',
      detail: expect.stringContaining('dropped them before mvm’s rules'),
    });
  } finally {
    run('nft', ['delete', 'table', 'inet', 'other']);
  }
  expect(bad(await probe('acme'))).toEqual([]);
});

test('probes of both tenants at a time, with other operations between, disturb nothing', async () => {
  const results = await Promise.all([
    probe('acme'),
    probe('globex'),
    ensureTenantAndPool(client, 'acme', 3),
    client.request({ type: 'CreateInstance', tenant_id: 'globex', pool_id: 'workers' }),
    ensureTenantAndPool(client, 'initech', 5),
    probe('acme'),
  ]);
  expect([results[0], results[1], results[5]].map((probes) => bad(probes as NetworkProbe[]))).toEqual([
    [],
    [],
    [],
  ]);
  expect(leftovers()).toEqual([]);
  expect((await client.request({ type: 'VerifyNetwork' })).drift_count).toBe(0);
});

test('killed in the middle of a probe, hostd leaves nothing after its next start', async () => {
  const tenants = ['acme', 'globex'];
  for (let round = 0; round < 3; round += 1) {
    const pending = probe(tenants[round % 2] ?? '').catch((error: unknown) => error);
    await until('a port of the probe is there', () => leftovers().length > round);
    await daemon.kill();
    await pending;
    expect(leftovers()).not.toEqual([]);
    daemon = await host.start({ prefix: PREFIX });
    expect(leftovers()).toEqual([]);
    expect((await client.request({ type: 'VerifyNetwork' })).drift_count).toBe(0);
  }
  expect(bad(await probe('acme'))).toEqual([]);
});

test('without a tenant, or with one whose network is down, there is nothing to probe', async () => {
  await expect(client.request({ type: 'VerifyNetwork', deep: true })).rejects.toMatchObject({
    code: 'invalid_argument',
    reason: 'net.probe_needs_tenant',
  });
  await expect(probe('nobody')).rejects.toMatchObject({ reason: 'tenant.not_found' });
  const { tenants } = await client.request({ type: 'ListTenants' });
  const initech = tenants.find(({ tenant_id }) => tenant_id === 'initech');
  if (initech === undefined) throw new Error('initech was made above');
  await client.request({ type: 'TeardownNetwork', tenant_id: 'initech', net: initech.net });
  await expect(probe('initech')).rejects.toMatchObject({ reason: 'tenant.network_down' });
  expect(leftovers()).toEqual([]);
});
