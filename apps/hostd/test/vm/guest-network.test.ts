import { execFileSync } from 'node:child_process';
import type { HostdClient } from '@mvm/hostd-client';
import type { RunningDaemon } from '@mvm/testkit';
import type { Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { InstanceAddress } from '../../src/state/layout.js';
import { ensureTenantAndPool } from '../tenants.js';
import { type Guest, guestOf } from './guest.js';
import {
  connects,
  FORBIDDEN_TO_A,
  FORBIDDEN_TO_B,
  FORBIDDEN_WITHIN_A,
  FORGE,
  FORGED,
  GATEWAY_A,
  GATEWAY_B,
  GUEST_PORT,
  GUESTS,
  HONEST,
  ping,
  takeAddress,
  throughOf,
} from './network-probes.js';
import { buildOutside, type Outside, PUBLIC_ADDRESS, SERVICE_PORT, UPLINK_ADDRESS } from './outside.js';
import { createVmHost, greeting } from './vm-host.js';
import { createWitness, type Witness } from './witness.js';

// Real guests in real microVMs: two of one tenant, one of another, an internet behind the host's uplink, a network of
// containers. Everything that may not get through is tried three times: with the rules, without them (the control: then
// it does get through), and once a new hostd has put them back.

let host: Host;
let hostd: RunningDaemon | null = null;
let client: HostdClient;
let outside: Outside;
let witness: Witness;
let a1: Guest;
let a2: Guest;
let b1: Guest;
const SLEEPER: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-a2' };

beforeAll(async () => {
  host = await createVmHost('test');
  outside = await buildOutside();
  hostd = await host.start();
  client = host.client();
  await ensureTenantAndPool(client, 'acme', 3);
  await ensureTenantAndPool(client, 'globex', 4);
  const boot = async (tenant_id: string, name: string): Promise<Guest> => {
    const address = { tenant_id, pool_id: 'workers', instance_id: `i-${name}` };
    await client.request({ type: 'CreateInstance', ...address });
    await client.request({ type: 'StartInstance', ...address });
    const { net } = await client.request({ type: 'DescribeInstance', ...address });
    return guestOf(host, net?.tap_dev ?? '');
  };
  a1 = await boot('acme', 'a1');
  a2 = await boot('acme', 'a2');
  b1 = await boot('globex', 'b1');
  for (const [tenant_id, name] of [
    ['acme', 'a1'] as const,
    ['acme', 'a2'] as const,
    ['globex', 'b1'] as const,
  ]) {
    await greeting(client, { tenant_id, pool_id: 'workers', instance_id: `i-${name}` });
  }
  for (const guest of [a1, a2, b1]) {
    const name = guest === a1 ? 'a1' : guest === a2 ? 'a2' : 'b1';
    await guest.output(
      `hostname ${name}; nc -ll -p ${GUEST_PORT} -e hostname >/dev/null 2>&1 </dev/null &
      vconfig add eth0 100 && ip addr add 10.77.0.${guest.vmId.slice(-1)}/24 dev eth0.100 && ip link set eth0.100 up`,
    );
  }
  witness = createWitness(a2.vmId, { ...FORGED, honest: HONEST });
}, 300_000);
afterAll(async () => {
  await host?.dispose();
  witness?.close();
  outside?.close();
}, 60_000);

/** Takes the rules away; hostd is killed first, so that they are not restored. */
async function removeRules(): Promise<void> {
  await hostd?.kill();
  hostd = null;
  for (const family of ['bridge', 'inet']) execFileSync('nft', ['delete', 'table', family, 'mvm']);
  for (const pref of ['90', '91']) execFileSync('ip', ['rule', 'del', 'pref', pref]);
}

/** A new hostd puts them back before it answers anybody. */
async function putBack(): Promise<void> {
  hostd ??= await host.start();
}

/** An offer of a1's DHCP server that a2 asks for; whether it got one. */
async function dhcpLease(): Promise<boolean> {
  await a1.output(`cat >/run/udhcpd.conf <<END
start 10.240.3.50
end 10.240.3.60
interface eth0
lease_file /run/leases
pidfile /run/udhcpd.pid
END
  >/run/leases; udhcpd -f /run/udhcpd.conf >/run/udhcpd.log 2>&1 </dev/null &`);
  const { status } = await a2.run('udhcpc -i eth0 -f -n -q -t 1 -T 3 -s /bin/true');
  await a1.output('kill $(cat /run/udhcpd.pid)');
  return status === 0;
}

describe.each([
  { phase: 'with the rules', open: false },
  { phase: 'control: without the rules', open: true },
  { phase: 'with the rules put back by a new hostd', open: false },
])('$phase', ({ open }) => {
  const through = { a1: [] as string[], a2: [] as string[], b1: [] as string[] };
  let seen: Record<string, number>;
  let lease: boolean;

  beforeAll(async () => {
    if (open) await removeRules();
    else await putBack();
    [through.a1, through.a2, through.b1] = await Promise.all([
      throughOf(a1, [...FORBIDDEN_TO_A, ...FORBIDDEN_WITHIN_A]),
      throughOf(a2, FORBIDDEN_TO_A.slice(0, 5)),
      throughOf(b1, FORBIDDEN_TO_B),
    ]);
    witness.seen();
    await a1.run(FORGE, 60);
    lease = await dhcpLease();
    seen = witness.seen();
  }, 120_000);

  test.each([...FORBIDDEN_TO_A, ...FORBIDDEN_WITHIN_A])('a guest tries %s', (name) => {
    expect(through.a1.includes(name)).toBe(open);
  });
  test('its neighbour and another tenant’s guest try the same', () => {
    expect(through.a2).toEqual(open ? FORBIDDEN_TO_A.slice(0, 5).map(([name]) => name) : []);
    expect(through.b1).toEqual(open ? FORBIDDEN_TO_B.map(([name]) => name) : []);
  });
  test.each(Object.keys(FORGED))('a guest forges %s', (name) => {
    expect((seen[name] ?? 0) > 0).toBe(open);
  });
  test('a guest announces its own address', () => {
    expect(seen.honest).toBeGreaterThan(0);
  });
  test('a guest plays the DHCP server: it hears the question, and its offer arrives only without the rules', async () => {
    expect(await a1.output('cat /run/udhcpd.log')).toMatch(/sending OFFER/i);
    expect(lease).toBe(open);
  });
  test('the internet and containers reach into a guest', () => {
    expect(outside.from('internet', 'ping', '-c', '1', '-W', '1', GUESTS.a1.ip)).toBe(open);
    expect(outside.from('container', 'ping', '-c', '1', '-W', '1', GUESTS.a1.ip)).toBe(open);
  });
  test('guests of one tenant reach each other, and their own gateways', async () => {
    expect(await a1.output(connects(GUESTS.a2.ip, GUEST_PORT))).toBe('a2');
    expect(await a2.output(connects(GUESTS.a1.ip, GUEST_PORT))).toBe('a1');
    expect(await a1.output(`arping -f -c 3 -w 3 -I eth0 ${GUESTS.a2.ip}`)).toContain(GUESTS.a2.mac);
    await a1.output(`${ping(GUESTS.a2.ip)} && ${ping(GATEWAY_A)}`);
    await b1.output(ping(GATEWAY_B));
  });
});

test('guests reach the internet, under the host’s address', async () => {
  for (const guest of [a1, b1]) {
    expect(await guest.output(connects(PUBLIC_ADDRESS, SERVICE_PORT))).toBe(UPLINK_ADDRESS);
    await guest.output(ping(PUBLIC_ADDRESS));
  }
});

test('the services that no guest reaches are there: for the host itself, and for the outside', () => {
  expect(outside.from('internet', 'nc', '-w', '2', UPLINK_ADDRESS, String(SERVICE_PORT))).toBe(true);
  for (const address of [UPLINK_ADDRESS, GATEWAY_A, GATEWAY_B, '172.17.0.1', PUBLIC_ADDRESS]) {
    const out = execFileSync('busybox', ['nc', '-w', '2', address, String(SERVICE_PORT)], { input: '' });
    expect(out.toString()).toMatch(/^\d+\.\d+\.\d+\.\d+\n$/);
  }
});

test('another tenant’s guest by its MAC: not on this bridge', async () => {
  const by = (ip: string, mac: string): string =>
    `ip route add ${ip}/32 dev eth0; ip neigh replace ${ip} lladdr ${mac} nud permanent dev eth0
     ${ping(ip)}; status=$?; ip route del ${ip}/32 dev eth0; ip neigh del ${ip} dev eth0; exit $status`;
  expect((await a1.run(by(GUESTS.b1.ip, GUESTS.b1.mac))).status).toBe(1);
  expect((await a1.run(by(GUESTS.a2.ip, GUESTS.a2.mac))).status).toBe(0);
  expect((await a1.run(`arping -f -c 1 -w 1 -I eth0 ${GUESTS.b1.ip}`)).status).toBe(1);
});

test('finding 1: what a guest sends to the link-local group of bridges reaches no other guest, and is counted', async () => {
  const counted = (): number => {
    const text = execFileSync('nft', ['list', 'counter', 'bridge', 'mvm', 'c_linklocal'], {
      encoding: 'utf8',
    });
    return Number(/packets (\d+)/.exec(text)?.[1]);
  };
  const before = counted();
  const by = (lladdr: string): string =>
    `arp -i eth0 -s ${GATEWAY_A} ${lladdr} || exit 99
     ${ping(GATEWAY_A)}; status=$?; arp -i eth0 -d ${GATEWAY_A}; exit $status`;
  for (const last of ['00', '02', '03', '0e', '0f'])
    expect((await a1.run(by(`01:80:c2:00:00:${last}`))).status).toBe(1);
  expect(counted()).toBeGreaterThanOrEqual(before + 5);
  expect((await a1.run(by('02:fc:00:03:00:01'))).status).toBe(0);
});

test('while a guest sleeps no other takes its address; awake again it has it, and is as apart as before', async () => {
  await client.request({ type: 'SleepInstance', ...SLEEPER, force: false, drain_timeout_secs: null });
  const byNeighbour = takeAddress(GUESTS.a1.mac, GATEWAY_A, '02:fc:00:03:00:01');
  const byStranger = takeAddress(GUESTS.b1.mac, GATEWAY_B, '02:fc:00:04:00:01');
  const tried = async (): Promise<number[]> => {
    const results = await Promise.all([a1.run(byNeighbour), b1.run(byStranger)]);
    return results.map(({ status }) => status);
  };
  expect(await tried()).toEqual([1, 1]);
  // Even without the rules: the bridge learns nothing, and has no entry for the sleeper's MAC.
  await removeRules();
  expect(await tried()).toEqual([1, 1]);
  // The control. The stranger's gateway would answer on the bridge where the address belongs, so it hears nothing.
  const links = execFileSync('ip', ['-o', 'link', 'show'], { encoding: 'utf8' });
  for (const [tap] of links.matchAll(/\btn3i\d+\b/g))
    execFileSync('ip', ['link', 'set', 'dev', tap, 'type', 'bridge_slave', 'learning', 'on']);
  expect(await tried()).toEqual([0, 1]);
  await putBack();
  expect(await tried()).toEqual([1, 1]);
  await a1.output(ping(GATEWAY_A));
  await b1.output(ping(GATEWAY_B));

  await client.request({ type: 'WakeInstance', ...SLEEPER }, { timeoutMs: 60_000 });
  expect(await a1.output(connects(GUESTS.a2.ip, GUEST_PORT))).toBe('a2');
  expect(await a2.output('ip -4 -o addr show eth0; cat /sys/class/net/eth0/address')).toContain(
    `${GUESTS.a2.ip}/24`,
  );
  expect(await a2.output(connects(PUBLIC_ADDRESS, SERVICE_PORT))).toBe(UPLINK_ADDRESS);
  expect(await throughOf(a2, FORBIDDEN_TO_A)).toEqual([]);
  expect(await throughOf(b1, FORBIDDEN_TO_B)).toEqual([]);
});
