import { execFileSync } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostdClient } from '@mvm/hostd-client';
import { isCodedError, type TenantNet } from '@mvm/protocol';
import { deriveTenantNet } from '@mvm/protocol/names';
import { createHost, type Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DEFAULT_QUOTAS } from '../../src/plan/plan-tenant.js';
import { ensureTenantAndPool, netOf } from '../tenants.js';

let host: Host;
let client: HostdClient;

beforeAll(async () => {
  host = await createHost();
  await host.start();
  client = host.client();
  await ensureTenantAndPool(client, 'acme', 3);
});
afterAll(() => host.dispose());

/** Everything that a network could change: links, addresses, rules, tables, and what is recorded. */
async function state(): Promise<unknown> {
  const run = (program: string, ...args: string[]) => execFileSync(program, args, { encoding: 'utf8' });
  const tenants = await readdir(join(host.stateDir, 'tenants'));
  return {
    links: run('ip', '-br', 'link'),
    addresses: run('ip', '-br', 'address'),
    rules: run('ip', 'rule'),
    tables: run('nft', '-s', 'list', 'ruleset'),
    tenants: tenants.sort(),
    records: await Promise.all(
      tenants.map((tenant) =>
        readFile(join(host.stateDir, 'tenants', tenant, 'tenant.json'), 'utf8').catch(() => null),
      ),
    ),
  };
}

const good = netOf(5);

/** What text could do in a shell, in an nft script, in an `ip -batch`, in a path, in a log. */
const TEXTS: readonly string[] = [
  '; reboot',
  '$(reboot)',
  '`reboot`',
  '| tee /etc/passwd',
  '&& ip link delete br-tenant-3',
  '> /etc/shadow',
  '\nlink delete dev br-tenant-3\n',
  '\r\nflush ruleset\r\n',
  '\u0000',
  '\u001b[2J',
  '" } ; flush ruleset ; add table inet x { "',
  '} ; delete table inet mvm ; {',
  "' accept comment '",
  '@port_mac',
  '10.240.3.1, 0.0.0.0/0',
  '{ "br-tenant-3" . 10.240.3.1 }',
  'include "/etc/passwd"',
  '# comment',
  '../../../etc/passwd',
  '--help',
  '-batch',
  '%s%s%n',
  '１０.２４０.５.０',
  '\u202e1.5.042.01',
  'x'.repeat(300),
  'x'.repeat(100_000),
  '',
  ' ',
];

const SUBNETS: readonly string[] = [
  // Host bits, prefix lengths at and beyond the limits, other notations.
  '10.240.5.1/24',
  '10.240.5.0/25\n',
  '10.240.5.0',
  '10.240.5.0/',
  '10.240.5.0/-1',
  '10.240.5.0/0',
  '10.240.0.0/12',
  '10.240.0.0/15',
  '10.240.5.0/30',
  '10.240.5.0/31',
  '10.240.5.0/32',
  '10.240.5.0/33',
  '10.240.5.0/024',
  '10.240.5.0/24 ',
  ' 10.240.5.0/24',
  '010.240.5.0/24',
  '10.240.5/24',
  '0xaf00500/24',
  '183500032/24',
  '10.240.5.256/24',
  '10.240.5.0/255.255.255.0',
  // Other ranges.
  '0.0.0.0/0',
  '127.0.0.0/16',
  '192.168.0.0/24',
  '10.239.255.0/24',
  '11.0.0.0/24',
  '224.0.0.0/16',
  // IPv6.
  'fd00::/64',
  '::/0',
  '::ffff:10.240.5.0/120',
];

const change = (fields: Partial<Record<keyof TenantNet, unknown>>): TenantNet =>
  ({ ...good, ...fields }) as TenantNet;

/** Fields that the wire accepts and a host must not. */
const corpus: readonly (readonly [string, TenantNet])[] = [
  ...TEXTS.flatMap((text) => [
    [`bridge_name ${text}`, change({ bridge_name: text })] as const,
    [
      `bridge_name br-tenant-5${text}`,
      change({ bridge_name: text === '' ? 'br-tenant-' : `br-tenant-5${text}` }),
    ] as const,
    [`gateway_ip ${text}`, change({ gateway_ip: text })] as const,
    [
      `gateway_ip 10.240.5.1${text}`,
      change({ gateway_ip: text === '' ? '10.240.5.0' : `10.240.5.1${text}` }),
    ] as const,
    [`ipv4_subnet ${text}`, change({ ipv4_subnet: text })] as const,
    [
      `ipv4_subnet 10.240.5.0/24${text}`,
      change({ ipv4_subnet: text === '' ? '10.240.5.0/4' : `10.240.5.0/24${text}` }),
    ] as const,
  ]),
  ...SUBNETS.map((ipv4_subnet) => [`ipv4_subnet ${ipv4_subnet}`, change({ ipv4_subnet })] as const),
  ...[0, 1, 4, 55, 4095].map(
    (id) => [`bridge of another id, ${id}`, change({ bridge_name: `br-tenant-${id}` })] as const,
  ),
  ...['br-tenant-05', 'BR-TENANT-5', 'br_tenant_5', 'lo', 'eth0', 'docker0', 'all', 'default', 'tn5i3'].map(
    (bridge_name) => [`bridge_name ${bridge_name}`, change({ bridge_name })] as const,
  ),
  ...[
    '10.240.5.2',
    '10.240.5.0',
    '10.240.5.255',
    '10.240.3.1',
    '0.0.0.0',
    '127.0.0.1',
    '10.240.05.1',
    'fd00::1',
    '10.240.5.1/24',
  ].map((gateway_ip) => [`gateway_ip ${gateway_ip}`, change({ gateway_ip })] as const),
  ...[4096, 5000, 65_535].map(
    (tenant_net_id) => [`net id ${tenant_net_id}`, change({ tenant_net_id })] as const,
  ),
  // All fields follow from each other, and still it is not to be had.
  ['the whole range of another tenant', deriveTenantNet(5, '10.240.0.0/16')],
  ['a part of another tenant', deriveTenantNet(5, '10.240.3.128/25')],
  ['the net id of another tenant', deriveTenantNet(3, '10.240.5.0/24')],
  ['the network of another tenant', netOf(3)],
];

describe('a network that a host must not have', () => {
  test(`each of ${corpus.length} is refused by version 2, told why, and nothing changes`, async () => {
    const before = await state();
    for (const [what, net] of corpus) {
      const refused = await client
        .request({ type: 'EnsureTenant', tenant_id: 'mallory', net, quotas: DEFAULT_QUOTAS })
        .then(
          () => null,
          (error: unknown) => error,
        );
      if (!isCodedError(refused)) throw new Error(`accepted: ${what.slice(0, 80)}`);
      expect([refused.code, what]).toEqual([
        expect.stringMatching(/^(invalid_argument|already_exists)$/),
        what,
      ]);
      expect(refused.reason).toMatch(/^(net\.|tenant\.net_clash|protocol\.)/);
      expect(refused.message.length).toBeLessThan(600);
      expect(refused.message).not.toMatch(/[\p{Cc}\p{Bidi_Control}]/u);
    }
    expect(await state()).toEqual(before);
  });

  test('each is refused by version 1, as its peers expect it, and nothing changes', async () => {
    const before = await state();
    for (const [what, net] of corpus) {
      for (const type of ['SetupNetwork', 'TeardownNetwork']) {
        const answer = (await host.v1({ [type]: { tenant_id: 'mallory', net } })) as {
          Error?: { message: string };
        };
        expect([what, answer.Error?.message]).toEqual([
          what,
          expect.stringMatching(/^(setup|teardown) network failed: /),
        ]);
      }
    }
    expect(await state()).toEqual(before);
  });

  test('a recorded tenant’s network stands, whatever is asked to be torn down or put in its place', async () => {
    const before = await state();
    for (const [what, net] of corpus.filter(([name]) => name !== 'the network of another tenant')) {
      for (const type of ['TeardownNetwork', 'SetupNetwork'] as const) {
        const refused = await client
          .request({ type, tenant_id: 'acme', net })
          .catch((error: unknown) => error);
        // What does not clash with others is refused for acme too, unless it could have that network.
        if (!isCodedError(refused)) {
          expect([
            'the whole range of another tenant',
            'a part of another tenant',
            'the net id of another tenant',
          ]).toContain(what);
          await client.request({ type: 'SetupNetwork', tenant_id: 'acme', net: netOf(3) });
        }
      }
    }
    expect(await state()).toEqual(before);
  });

  test.each([
    ['a net id as text', '"5"'],
    ['a net id below 0', '-1'],
    ['a net id with a fraction', '5.5'],
    ['a net id over u16', '65536'],
    ['a net id with an exponent', '5e0'],
    ['no net id', 'null'],
    ['a list for a net id', '[5]'],
    ['two net ids', '5,"tenant_net_id":6'],
  ])('%s is not even decoded', async (_what, id) => {
    const before = await state();
    const text = `{"SetupNetwork":{"tenant_id":"mallory","net":{"tenant_net_id":${id},"ipv4_subnet":"10.240.5.0/24","gateway_ip":"10.240.5.1","bridge_name":"br-tenant-5"}}}`;
    await expect(host.v1(text)).resolves.toMatchObject({ Error: expect.anything() });
    expect(await state()).toEqual(before);
  });
});

describe('networks that exclude each other', () => {
  const ensure = (tenant_id: string, net: TenantNet): Promise<unknown> =>
    client.request({ type: 'EnsureTenant', tenant_id, net, quotas: DEFAULT_QUOTAS });

  test.each([
    ['the same net id', deriveTenantNet(3, '10.240.9.0/24'), 'network id 3'],
    ['the same subnet', deriveTenantNet(9, '10.240.3.0/24'), '10.240.3.0/24'],
    ['a subnet around it', deriveTenantNet(9, '10.240.0.0/16'), '10.240.3.0/24'],
    ['a subnet within it', deriveTenantNet(9, '10.240.3.248/29'), '10.240.3.0/24'],
  ])('%s: refused, naming the other, by both versions', async (_what, net, named) => {
    const before = await state();
    const clash = {
      code: 'already_exists',
      reason: 'tenant.net_clash',
      details: { tenant: 'globex', other: 'acme' },
    };
    await expect(ensure('globex', net)).rejects.toMatchObject(clash);
    await expect(ensure('globex', net)).rejects.toThrow(named);
    await expect(client.request({ type: 'SetupNetwork', tenant_id: 'globex', net })).rejects.toMatchObject(
      clash,
    );
    expect(await host.v1({ SetupNetwork: { tenant_id: 'globex', net } })).toMatchObject({
      Error: { message: expect.stringMatching(/^setup network failed: .*acme/) },
    });
    expect(await state()).toEqual(before);
  });

  test('asked for at the same time by both versions, in many ways: one gets it, the rest are told who', async () => {
    const nets = [
      deriveTenantNet(20, '10.240.20.0/24'),
      deriveTenantNet(20, '10.240.21.0/24'),
      deriveTenantNet(21, '10.240.20.0/24'),
      deriveTenantNet(22, '10.240.20.128/25'),
      deriveTenantNet(23, '10.240.20.0/23'),
    ];
    const results = await Promise.all(
      nets.flatMap((net, i) => [
        ensure(`two-${i}`, net).then(
          () => null,
          (error: Error) => error.message,
        ),
        host
          .v1({ SetupNetwork: { tenant_id: `one-${i}`, net } })
          .then((answer) => (answer === 'Ok' ? null : JSON.stringify(answer))),
      ]),
    );
    expect(results.filter((result) => result === null).length).toBeGreaterThan(0);
    for (const result of results)
      if (result !== null) expect(result).toMatch(/clashes with tenant (one|two)-\d/);
    const { tenants } = await client.request({ type: 'ListTenants' });
    const winners = tenants.filter(({ tenant_id }) => /^(one|two)-/.test(tenant_id));
    expect(winners).toHaveLength(results.filter((result) => result === null).length);
    expect(new Set(winners.map(({ net }) => net.tenant_net_id)).size).toBe(winners.length);
    expect((await client.request({ type: 'VerifyNetwork' })).drift_count).toBe(0);
    for (const { tenant_id } of winners) await client.request({ type: 'RemoveTenant', tenant_id });
  });

  test('a tenant with instances keeps its network, whoever asks, and may change it without', async () => {
    await client.request({
      type: 'CreateInstance',
      tenant_id: 'acme',
      pool_id: 'workers',
      instance_id: 'one',
    });
    const before = await state();
    const other = deriveTenantNet(30, '10.240.30.0/24');
    const refused = { code: 'failed_precondition', reason: 'tenant.net_in_use' };
    await expect(ensure('acme', other)).rejects.toMatchObject(refused);
    await expect(ensure('acme', deriveTenantNet(3, '10.240.3.0/25'))).rejects.toMatchObject(refused);
    await expect(
      client.request({ type: 'SetupNetwork', tenant_id: 'acme', net: other }),
    ).rejects.toMatchObject(refused);
    expect(await host.v1({ SetupNetwork: { tenant_id: 'acme', net: other } })).toMatchObject({
      Error: { message: expect.stringMatching(/^setup network failed: .*1 instances on 10\.240\.3\.0\/24/) },
    });
    expect(await state()).toEqual(before);
    const address = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'one' };
    await client.request({ type: 'DestroyInstance', ...address, wipe_volumes: false });
    await ensure('acme', other);
    expect((await client.request({ type: 'VerifyNetwork', tenant_id: 'acme' })).drift_count).toBe(0);
    expect(execFileSync('ip', ['-br', 'link'], { encoding: 'utf8' })).not.toContain('br-tenant-3 ');
    await ensure('acme', netOf(3));
    expect((await client.request({ type: 'VerifyNetwork' })).drift_count).toBe(0);
  });
});
