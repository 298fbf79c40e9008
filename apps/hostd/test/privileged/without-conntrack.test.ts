import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createOneInstance, type OneInstance } from '../fake-vmm/one-instance.js';

const PROGRAM = '/usr/sbin/conntrack';
const dir = mkdtempSync(join(tmpdir(), 'mvm-conntrack-'));
const broken = join(dir, 'broken');
let one: OneInstance;

beforeAll(async () => {
  const real = join(dir, 'real');
  copyFileSync(PROGRAM, real);
  chmodSync(real, 0o755);
  const script = `#!/bin/sh\n[ ! -e ${broken} ] || { echo 'Operation failed: no module' >&2; exit 1; }\nexec ${real} "$@"\n`;
  writeFileSync(join(dir, 'conntrack'), script, { mode: 0o755 });
  execFileSync('mount', ['--bind', join(dir, 'conntrack'), PROGRAM]);
  one = await createOneInstance();
});
afterAll(async () => {
  rmSync(broken, { force: true });
  await one.dispose();
  execFileSync('umount', ['--lazy', PROGRAM]);
  rmSync(dir, { recursive: true });
});

const connections = (): number =>
  execFileSync(PROGRAM, ['-L'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
    .split('\n')
    .filter((line) => line.includes('dport=9000')).length;

function connect(address: string): void {
  const flow = ['-s', address, '-d', '203.0.113.5', '--sport', '161', '--dport', '9000', '-t', '600'];
  execFileSync(PROGRAM, ['-I', '-p', 'udp', ...flow], { stdio: 'ignore' });
}

test('without conntrack a VM ends, and none starts until its address has no connections of others', async () => {
  const { client, address } = one;
  const { net } = await one.described();
  connect(net?.guest_ip ?? '');
  writeFileSync(broken, '');
  await one.restart();
  const said = (message: string) => one.hostd.log.filter(({ msg }) => msg === message).length;
  expect(said('conntrack does not work: no instance can start until it does')).toBe(1);

  await client.request({ type: 'StopInstance', ...address, force: true });
  expect((await one.described()).status).toBe('stopped');
  expect(said('connections of a guest could not be ended')).toBe(1);
  await expect(client.request({ type: 'StartInstance', ...address })).rejects.toMatchObject({
    reason: 'net.conntrack_failed',
    hint: expect.stringContaining('package conntrack'),
  });

  rmSync(broken);
  expect(connections()).toBe(1);
  await client.request({ type: 'StartInstance', ...address });
  expect(connections()).toBe(0);
});

test('an instance that is destroyed asleep leaves no connections', async () => {
  const { client, address } = one;
  const { net } = await one.described();
  connect(net?.guest_ip ?? '');
  await client.request({ type: 'SleepInstance', ...address, force: true });
  expect(connections()).toBe(1);
  await client.request({ type: 'DestroyInstance', ...address, wipe_volumes: false });
  expect(connections()).toBe(0);
  await client.request({ type: 'CreateInstance', ...address });
});
