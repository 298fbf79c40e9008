import { execFileSync } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { HostdClient } from '@mvm/hostd-client';
import { type HostSnapshot, until } from '@mvm/testkit';
import type { Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { InstanceAddress } from '../../src/state/layout.js';
import { ensureTenantAndPool, poolSpec } from '../tenants.js';
import { type Guest, guestOf } from './guest.js';
import { createPattern, fetchFrom, firstDifference, sendTo } from './memory-pattern.js';
import { createVmHost, greeting, guestCount, instanceFile, leftSince, look } from './vm-host.js';

// Two guests of one tenant, connected by TCP, sleep and wake again and again, one at a time and together. Nothing in
// them may notice more than the time that has passed. MVM_CONTINUITY_ROUNDS says how often; issue and docs say 20.

const ROUNDS = Number(process.env.MVM_CONTINUITY_ROUNDS ?? 5);
const PATTERN_MIB = 100;
const MEMORY = { vcpus: 1, mem_mib: 256, data_disk_mib: 32 };
const [ECHO_PORT, UPLOAD_PORT, DOWNLOAD_PORT] = [9, 98, 99];

let host: Host;
let client: HostdClient;
let quiet: HostSnapshot;
const pattern = createPattern(PATTERN_MIB);
const addresses = ['i-server', 'i-client'].map(
  (instance_id): InstanceAddress => ({ tenant_id: 'acme', pool_id: 'workers', instance_id }),
) as [InstanceAddress, InstanceAddress];
let server: Guest;
let caller: Guest;
let serverIp: string;
let hellos: string[];
let bootIds: string[];
let connection: string;
let keyFile: string;

const NUMBERS = 'i=0; while :; do i=$((i + 1)); echo $i; usleep 50000; done';

beforeAll(async () => {
  host = await createVmHost('test');
  keyFile = join(host.dir, 'keys', 'acme.key');
  await mkdir(dirname(keyFile), { mode: 0o700 });
  await host.start({ args: ['--tenant-keys-dir', dirname(keyFile)] });
  client = host.client();
  await ensureTenantAndPool(client, 'acme', 3, { spec: { instance_resources: MEMORY } });
  for (const address of addresses) await client.request({ type: 'CreateInstance', ...address });
  quiet = await look(host);
  const guests: Guest[] = [];
  for (const address of addresses) {
    await client.request({ type: 'StartInstance', ...address });
    const { net } = await client.request({ type: 'DescribeInstance', ...address });
    guests.push(guestOf(host, net?.tap_dev ?? ''));
    serverIp ??= net?.guest_ip ?? '';
  }
  [server, caller] = guests as [Guest, Guest];
  hellos = await Promise.all(addresses.map((address) => greeting(client, address)));
  bootIds = await Promise.all(guests.map(bootId));

  await server.output(`mkdir /run/pattern; mount -t tmpfs -o size=${PATTERN_MIB + 4}m tmpfs /run/pattern
    printf '#!/bin/sh\\nexec cat /run/pattern/bytes\\n' >/run/serve; chmod +x /run/serve
    nc -l -p ${UPLOAD_PORT} >/run/pattern/bytes 2>/dev/null </dev/null &
    nc -ll -p ${DOWNLOAD_PORT} -e /run/serve >/dev/null 2>&1 </dev/null &
    nc -ll -p ${ECHO_PORT} -e cat >/dev/null 2>&1 </dev/null &`);
  await sendTo(serverIp, UPLOAD_PORT, pattern);
  for (const guest of guests)
    await guest.output(`(${NUMBERS}) >/data/numbers 2>/dev/null </dev/null & echo $! >/run/writer`);
  await caller.output(
    `(${NUMBERS}) 2>/dev/null </dev/null | nc ${serverIp} ${ECHO_PORT} >/run/echoed 2>/dev/null &`,
  );
  await until('echo', async () => (await counted(caller, '/run/echoed')) > 0, 60_000);
  connection = await established(caller);
}, 300_000);
afterAll(() => host.dispose());

const bootId = (guest: Guest): Promise<string> => guest.output('cat /proc/sys/kernel/random/boot_id');
/** Both ends of the echo connection, e.g. `10.240.3.4:33000 10.240.3.3:9`. */
const established = (guest: Guest): Promise<string> =>
  guest.output(`netstat -tn | awk '$6 == "ESTABLISHED" && / ${serverIp}:${ECHO_PORT} / { print $4, $5 }'`);
/** How many numbers a file has; throws unless it is 1, 2, 3, … to the last, each on its line. */
async function counted(guest: Guest, path: string): Promise<number> {
  const text = await guest.output(
    `awk '$0 != NR { print "line", NR, "is", $0; exit 1 } END { print NR }' ${path}`,
  );
  return Number(text);
}

interface Times {
  readonly hostMs: number;
  readonly clockSecs: number;
  readonly uptimeSecs: number;
}
/** What a guest's two clocks say; `hostMs` is when it was asked. */
async function timesOf(guest: Guest): Promise<Times> {
  const hostMs = Date.now();
  const [clock, uptime] = (await guest.output('date +%s; cat /proc/uptime')).split(/\s+/);
  return { hostMs, clockSecs: Number(clock), uptimeSecs: Number(uptime) };
}

const WHO = ['server', 'client', 'both'] as const;
const COMPRESSIONS = ['none', 'lz4', 'zstd'] as const;
const rounds = Array.from({ length: ROUNDS }, (_, index) => ({
  round: index + 1,
  who: WHO[index % 3] as (typeof WHO)[number],
  compression: COMPRESSIONS[(index + Math.floor(index / 3)) % 3] as (typeof COMPRESSIONS)[number],
  sealed: index % 4 === 1,
}));

test.each(rounds)('round $round: asleep $who, compression $compression, sealed $sealed', async (plan) => {
  const [first, second] = addresses;
  const sleepers = plan.who === 'server' ? [first] : plan.who === 'client' ? [second] : [first, second];
  const guests = sleepers.map((address) => (address === first ? server : caller));
  await client.request({
    type: 'EnsurePool',
    tenant_id: 'acme',
    pool_id: 'workers',
    spec: poolSpec({ instance_resources: MEMORY, snapshot_compression: plan.compression }),
  });
  if (plan.sealed) await writeFile(keyFile, '5a'.repeat(32), { mode: 0o600 });
  const heard = await counted(caller, '/run/echoed');
  const beats = await Promise.all(sleepers.map((address) => guestCount(client, address)));
  const before = await Promise.all(guests.map(timesOf));

  for (const address of sleepers) {
    await client.request({ type: 'SleepInstance', ...address, force: false }, { timeoutMs: 120_000 });
  }
  const asleepMs = Date.now();
  if (plan.who === 'both') expect(await leftSince(host, quiet)).toEqual([]);
  // Long enough for a clock that stood still to be found out, in a round of each kind.
  if (plan.round <= 3) await new Promise((resolve) => setTimeout(resolve, 4000));
  const awakeMs = Date.now();
  for (const address of sleepers) {
    await client.request({ type: 'WakeInstance', ...address }, { timeoutMs: 120_000 });
  }
  const after = await Promise.all(guests.map(timesOf));
  const answeredMs = Date.now();
  await rm(keyFile, { force: true });

  for (const [index, { clockSecs, uptimeSecs }] of after.entries()) {
    // The guest is told the time within the wake, to the nearest second.
    expect(clockSecs * 1000).toBeGreaterThan(awakeMs - 2000);
    expect(clockSecs * 1000).toBeLessThan(answeredMs + 2000);
    // It did sleep: its own time is short of the host's by at least as long as that took.
    const was = before[index] as Times;
    const ownMs = (uptimeSecs - was.uptimeSecs) * 1000;
    expect(ownMs).toBeLessThan(answeredMs - was.hostMs - (awakeMs - asleepMs));
  }
  for (const [index, address] of addresses.entries()) {
    expect(await greeting(client, address)).toBe(hellos[index]);
    expect(await bootId([server, caller][index] as Guest)).toBe(bootIds[index]);
  }
  for (const [index, address] of sleepers.entries()) {
    await until('heartbeat', async () => (await guestCount(client, address)) > (beats[index] ?? 0), 60_000);
  }
  await until('echo', async () => (await counted(caller, '/run/echoed')) > heard, 120_000);
  expect(await established(caller)).toBe(connection);
  for (const guest of [server, caller]) {
    const numbers = await counted(guest, '/data/numbers');
    await until('lines', async () => (await counted(guest, '/data/numbers')) > numbers, 60_000);
  }
  if (plan.who !== 'client') {
    expect(firstDifference(await fetchFrom(serverIp, DOWNLOAD_PORT), pattern)).toBeNull();
  }
});

test('in the end the files on both data disks are whole, as the host reads them', async () => {
  for (const [index, address] of addresses.entries()) {
    const guest = [server, caller][index] as Guest;
    await guest.output('kill $(cat /run/writer)');
    const written = await counted(guest, '/data/numbers');
    // A stop is the end of the VMM, as a power cut is: what is to be on the disk, the guest has to bring there.
    await guest.output('until umount /data; do sleep 1; done');
    await client.request({ type: 'StopInstance', ...address }, { timeoutMs: 60_000 });
    const disk = instanceFile(host, address, 'volumes', 'data.ext4');
    execFileSync('e2fsck', ['-fn', disk], { stdio: 'ignore' });
    const numbers = execFileSync('debugfs', ['-R', 'cat /numbers', disk], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const whole = Array.from({ length: written }, (_, line) => `${line + 1}\n`).join('');
    expect(firstDifference(numbers, Buffer.from(whole))).toBeNull();
  }
  expect(await leftSince(host, quiet)).toEqual([]);
});
