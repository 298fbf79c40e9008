import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { HostdClient } from '@mvm/hostd-client';
import type { NetworkPolicy, PoolNetworkPolicy } from '@mvm/protocol';
import { type RunningDaemon, until } from '@mvm/testkit';
import type { Host } from '@mvm/testkit/host';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { DEFAULT_QUOTAS } from '../../src/plan/plan-tenant.js';
import { ensureTenantAndPool, netOf, poolSpec } from '../tenants.js';
import { type Guest, guestOf } from './guest.js';
import { COUNTING_PORT, type Listener, listenOutside } from './listener.js';
import { connects, GATEWAY_A, GUEST_PORT, GUESTS, type Probe, ping, throughOf } from './network-probes.js';
import { buildOutside, type Outside, PUBLIC_ADDRESS, SERVICE_PORT, UPLINK_ADDRESS } from './outside.js';
import { createVmHost, greeting } from './vm-host.js';

// Policies between two real guests of one tenant, in real microVMs, and an internet behind the host's uplink. Whatever a
// policy forbids is tried with another that allows it as well, so that no test passes because nothing works.

let host: Host;
let hostd: RunningDaemon;
let client: HostdClient;
let outside: Outside;
let listener: Listener;
let a1: Guest;
let a2: Guest;

const addressOf = (name: 'a1' | 'a2') => ({
  tenant_id: 'acme',
  pool_id: 'workers',
  instance_id: `i-${name}`,
});

async function give(pool: PoolNetworkPolicy = {}, tenant: NetworkPolicy = {}): Promise<void> {
  const net = netOf(3);
  await client.request({
    type: 'EnsureTenant',
    tenant_id: 'acme',
    net,
    quotas: DEFAULT_QUOTAS,
    policy: tenant,
  });
  const spec = poolSpec({ network_policy: pool });
  await client.request({ type: 'EnsurePool', tenant_id: 'acme', pool_id: 'workers', spec });
}

beforeAll(async () => {
  host = await createVmHost('test');
  outside = await buildOutside();
  listener = await listenOutside();
  hostd = await host.start();
  client = host.client();
  await ensureTenantAndPool(client, 'acme', 3);
  await Promise.all(
    (['a1', 'a2'] as const).map(async (name) => {
      await client.request({ type: 'CreateInstance', ...addressOf(name) });
      await client.request({ type: 'StartInstance', ...addressOf(name) });
    }),
  );
  [a1, a2] = [guestOf(host, 'tn3i3'), guestOf(host, 'tn3i4')];
  for (const [name, guest] of [['a1', a1] as const, ['a2', a2] as const]) {
    await greeting(client, addressOf(name));
    await guest.output(`hostname ${name}; nc -ll -p ${GUEST_PORT} -e hostname >/dev/null 2>&1 </dev/null &`);
  }
}, 180_000);
afterEach(async () => {
  await give();
});
afterAll(async () => {
  listener?.close();
  await host?.dispose();
  outside?.close();
}, 60_000);

/** Which guest answers at a port of the host's uplink; null when none does. */
function answersAt(port: number): string | null {
  const args = ['netns', 'exec', 'internet', 'busybox', 'nc', '-w', '2', UPLINK_ADDRESS, String(port)];
  const { status, stdout } = spawnSync('ip', args, { input: '', encoding: 'utf8' });
  return status === 0 ? stdout.trim() : null;
}

const PRIVATE = '10.99.0.1';
const PROBES: readonly Probe[] = [
  ['public', connects(PUBLIC_ADDRESS, SERVICE_PORT)],
  ['public ping', ping(PUBLIC_ADDRESS)],
  ['private', connects(PRIVATE, SERVICE_PORT)],
  ['private ping', ping(PRIVATE)],
  ['neighbour', connects(GUESTS.a2.ip, GUEST_PORT)],
  ['neighbour ping', ping(GUESTS.a2.ip)],
  ['gateway ping', ping(GATEWAY_A)],
];
const ALL = PROBES.map(([name]) => name);
const allBut = (...names: string[]) => ALL.filter((name) => !names.some((each) => name.startsWith(each)));
const SERVICE = { protocol: 'tcp', first_port: SERVICE_PORT } as const;

describe('a running guest, at once when the policy changes', () => {
  test.each<{ what: string; pool?: PoolNetworkPolicy; tenant?: NetworkPolicy; through: string[] }>([
    { what: 'egress open', tenant: { egress: 'open' }, through: ALL },
    { what: 'egress internet', tenant: { egress: 'internet' }, through: allBut('private') },
    { what: 'egress none', tenant: { egress: 'none' }, through: allBut('private', 'public') },
    {
      what: 'a private network allowed for one port',
      tenant: { allow: [{ cidr: '10.99.0.0/16', ...SERVICE }] },
      through: allBut('private ping'),
    },
    {
      what: "the pool's egress in place of its tenant's, and a public address denied for one port",
      tenant: { egress: 'none' },
      pool: { egress: 'open', deny: [{ cidr: `${PUBLIC_ADDRESS}/32`, ...SERVICE }] },
      through: ALL.filter((name) => name !== 'public'),
    },
    {
      what: 'a deny that beats an allow',
      tenant: { egress: 'none', allow: [{ cidr: '0.0.0.0/0' }], deny: [{ cidr: `${PUBLIC_ADDRESS}/32` }] },
      through: allBut('public'),
    },
    {
      what: 'isolation from the instances of its tenant',
      pool: { egress: 'open', isolate_instances: true },
      through: allBut('neighbour'),
    },
  ])('$what', async ({ pool, tenant, through }) => {
    await give(pool, tenant);
    expect(await throughOf(a1, PROBES)).toEqual(through);
  });
});

describe('published ports', () => {
  const port = { protocol: 'tcp', host_port: 8443, guest_port: GUEST_PORT } as const;

  test('lead from outside to a guest while they are published, and only then', async () => {
    expect(answersAt(8443)).toBeNull();
    await give({ egress: 'none', publish: [port] });
    expect([answersAt(8443), answersAt(8444)]).toEqual(['a1', null]);
    await give({ egress: 'none', publish: [{ ...port, instance_id: 'i-a2' }] });
    expect(answersAt(8443)).toBe('a2');
    await give({ egress: 'none' });
    expect(answersAt(8443)).toBeNull();
  });

  test('a guest cannot go on answering by one that is published no more', async () => {
    const open = { egress: 'none', publish: [{ ...port, guest_port: 5353 }] } as const;
    await give({ ...open, publish: [...open.publish] });
    // It pours out what was not asked for, in the direction of an answer.
    await a1.output(`echo 'while :; do echo leak; usleep 50000; done' >/run/pour
      nc -l -p 5353 -e sh /run/pour >/dev/null 2>&1 </dev/null & sleep 0.3`);
    execFileSync('nft', ['-f', '-'], {
      input: `table inet leak { counter sent { }
        chain post { type filter hook postrouting priority 300; oifname "up0" tcp sport { 5353, 8443 } counter name sent; }
      }`,
    });
    const args = ['netns', 'exec', 'internet', 'busybox', 'nc', UPLINK_ADDRESS, '8443'];
    const peer = spawn('ip', args, { stdio: ['pipe', 'ignore', 'ignore'] });
    const sent = (): number =>
      Number(
        /packets (\d+)/.exec(
          execFileSync('nft', ['list', 'counter', 'inet', 'leak', 'sent'], { encoding: 'utf8' }),
        )?.[1],
      );
    const pours = async (ms: number): Promise<boolean> => {
      await sleep(100);
      const before = sent();
      const end = performance.now() + ms;
      while (performance.now() < end && sent() === before) await sleep(20);
      return sent() > before;
    };
    try {
      expect(await pours(5000)).toBe(true);
      await give({ egress: 'none' });
      expect(await pours(1000)).toBe(false);
      await give({ ...open, publish: [...open.publish] });
      expect(await pours(8000)).toBe(true);
    } finally {
      peer.kill();
      execFileSync('nft', ['delete', 'table', 'inet', 'leak']);
      await a1.run('pkill -f /run/pour; pkill -f 5353');
    }
  });
});

test('a change lets a connection stand that it allows, and stops one that it forbids until it is taken back', async () => {
  const boot = await a1.output('cat /proc/sys/kernel/random/boot_id');
  const connected = listener.connections + 1;
  await a1.output(`echo 'while :; do echo tick; usleep 50000; done' >/run/tick
    sh /run/tick 2>/dev/null </dev/null | nc ${PUBLIC_ADDRESS} ${COUNTING_PORT} >/dev/null 2>&1 &`);
  const goesOn = async (ms: number): Promise<boolean> => {
    const before = listener.bytes;
    const end = performance.now() + ms;
    while (performance.now() < end && listener.bytes === before) await sleep(20);
    return listener.bytes > before;
  };
  await until('the connection', () => listener.connections === connected);
  const allowing: [PoolNetworkPolicy, NetworkPolicy][] = [
    [{}, { limits: { bandwidth_kbit: 10_000 } }],
    [{ isolate_instances: true, deny: [{ cidr: '203.0.113.6/32' }] }, {}],
    [
      {
        egress: 'none',
        allow: [{ cidr: `${PUBLIC_ADDRESS}/32`, protocol: 'tcp', first_port: COUNTING_PORT }],
      },
      {},
    ],
    [{ publish: [{ protocol: 'tcp', host_port: 8443, guest_port: GUEST_PORT }] }, { egress: 'open' }],
  ];
  for (const [pool, tenant] of allowing) {
    await give(pool, tenant);
    expect(await goesOn(2000), JSON.stringify([pool, tenant])).toBe(true);
  }
  await give({}, { egress: 'none' });
  await sleep(100);
  expect(await goesOn(700)).toBe(false);
  await give();
  expect(await goesOn(8000)).toBe(true);
  expect(listener.connections).toBe(connected);
  expect(await a1.output('cat /proc/sys/kernel/random/boot_id')).toBe(boot);
  await a1.run('killall nc; nc -ll -p 7 -e hostname >/dev/null 2>&1 </dev/null &');
});

describe('a policy holds', () => {
  const pool: PoolNetworkPolicy = {
    egress: 'none',
    allow: [{ cidr: `${PUBLIC_ADDRESS}/32`, ...SERVICE }],
    publish: [{ protocol: 'tcp', host_port: 8443, guest_port: GUEST_PORT, instance_id: 'i-a2' }],
  };
  const tenant: NetworkPolicy = { isolate_instances: true };
  /** What a2 reaches of the outside and of a1, and whether it is reached. */
  const held = async () => ({
    through: await throughOf(a2, [
      ...PROBES.slice(0, 4),
      ['a1', connects(GUESTS.a1.ip, GUEST_PORT)],
      ['gateway', ping(GATEWAY_A)],
    ]),
    published: answersAt(8443),
  });
  const AS_WANTED = { through: ['public', 'gateway'], published: 'a2' };

  test('over sleep and wake, and over a hostd that is killed', async () => {
    await give(pool, tenant);
    expect(await held()).toEqual(AS_WANTED);
    await client.request({
      type: 'SleepInstance',
      ...addressOf('a2'),
      force: true,
      drain_timeout_secs: null,
    });
    expect(answersAt(8443)).toBeNull();
    await client.request({ type: 'WakeInstance', ...addressOf('a2') }, { timeoutMs: 60_000 });
    expect(await held()).toEqual(AS_WANTED);
    await client.close();
    await hostd.kill();
    expect(await held()).toEqual(AS_WANTED);
    execFileSync('nft', ['flush', 'ruleset']);
    hostd = await host.start();
    client = host.client();
    expect(await held()).toEqual(AS_WANTED);
    expect(await client.request({ type: 'VerifyNetwork' })).toMatchObject({ drift_count: 0 });
  });
});

describe('mvm net why', () => {
  beforeAll(() => host.agentd.start([], { asRoot: true }));

  const BIN = fileURLToPath(new URL('../../../cli/bin/mvm.js', import.meta.url));

  async function why(...args: string[]): Promise<{ exitCode: number; answer: Record<string, unknown> }> {
    const words = [
      BIN,
      'net',
      'why',
      'acme/workers/i-a1',
      ...args,
      '-o',
      'json',
      '--socket',
      host.agentd.socketPath,
    ];
    const { exitCode = 1, stdout, stderr } = await execa(process.execPath, words, { reject: false });
    if (stdout === '') throw new Error(stderr);
    return { exitCode, answer: JSON.parse(stdout) };
  }

  test('says what the guest finds, and which field it is', async () => {
    const policy = {
      egress: 'internet',
      deny: [{ cidr: `${PUBLIC_ADDRESS}/32`, protocol: 'icmp' }],
    } as const;
    await give({ isolate_instances: true }, { ...policy, deny: [...policy.deny] });
    const asked: readonly (readonly [destination: string, probe: string, field: string | null])[] = [
      [`${PUBLIC_ADDRESS}:${SERVICE_PORT}`, 'public', 'egress'],
      [PUBLIC_ADDRESS, 'public ping', 'deny[0]'],
      [`${PRIVATE}:${SERVICE_PORT}/tcp`, 'private', 'egress'],
      [`acme/workers/i-a2:${GUEST_PORT}`, 'neighbour', 'isolate_instances'],
      ['host', 'gateway ping', null],
    ];
    const through = await throughOf(a1, PROBES);
    const answers = await Promise.all(asked.map(([destination]) => why(destination)));
    for (const [i, [destination, probe, field]] of asked.entries()) {
      const { exitCode, answer } = answers[i] ?? {};
      const reachable = through.includes(probe);
      const follows = field === null ? null : expect.objectContaining({ field });
      expect({ exitCode, ...answer }, destination).toMatchObject({
        exitCode: reachable ? 0 : 4,
        reachable,
        follows_from: follows,
      });
    }
    expect(through).toEqual(['public', 'gateway ping']);
  });

  test('says whether the outside reaches a port', async () => {
    await give({ publish: [{ protocol: 'tcp', host_port: 8443, guest_port: GUEST_PORT }] });
    expect(answersAt(8443)).toBe('a1');
    expect(await why(`${GUEST_PORT}/tcp`, '--inbound')).toMatchObject({
      exitCode: 0,
      answer: { host_ports: [8443] },
    });
    expect((await why('22/tcp', '--inbound')).exitCode).toBe(4);
  });

  test('finds what the host has in the way: another firewall, a link that is down', async () => {
    const chain = 'chain forward { type filter hook forward priority 0; policy drop; }';
    execFileSync('nft', ['-f', '-'], { input: `table inet other {\n${chain}\n}` });
    expect((await throughOf(a1, PROBES)).includes('public')).toBe(false);
    expect((await why(`${PUBLIC_ADDRESS}:${SERVICE_PORT}`)).answer).toMatchObject({
      permitted: true,
      reachable: false,
      obstacles: [{ kind: 'other_software', detail: expect.stringContaining('chain forward of inet other') }],
    });
    execFileSync('nft', ['delete', 'table', 'inet', 'other']);
    expect((await why(`${PUBLIC_ADDRESS}:${SERVICE_PORT}`)).exitCode).toBe(0);
    // hostd looks every 10 seconds, and may be quicker once.
    const down = async () => {
      execFileSync('ip', ['link', 'set', 'tn3i3', 'down']);
      return await why('host');
    };
    const found = [await down(), await down()].find(({ exitCode }) => exitCode !== 0);
    execFileSync('ip', ['link', 'set', 'tn3i3', 'up']);
    expect(found).toMatchObject({
      exitCode: 4,
      answer: {
        permitted: true,
        obstacles: [{ kind: 'drift', detail: expect.stringContaining('tn3i3 is different (is down)') }],
      },
    });
  });
});
