import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { HostdClient } from '@mvm/hostd-client';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createLayout, type InstanceAddress, type Layout } from '../../src/state/layout.js';
import { createTestHost, ensureTenantAndPool, type TestHost, until } from '../daemon.js';
import { askVm, type GuestNow } from '../model/machines.js';
import type { Fault, VmmCall } from '../stand-in/driver.js';
import { type InProcessHostd, startInProcess } from '../stand-in/in-process.js';

// A pause in memory that goes wrong in every way at once: the record cannot be written, and the VM cannot be let go on.
// What settles it later must leave the VM as the record says, and the guest told.

const address: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-a' };
let host: TestHost;
let hostd: InProcessHostd;
let client: HostdClient;
let layout: Layout;
let vmId: string;
let faultOf: (call: VmmCall) => Fault | null;

beforeEach(async () => {
  await execa('ip', ['link', 'set', 'lo', 'up']);
  host = await createTestHost();
  layout = createLayout(host.stateDir, host.runDir);
  faultOf = () => null;
  hostd = await startInProcess(host, { faultOf: (call) => faultOf(call) });
  client = host.client();
  await hostd.registerImage('demo');
  await ensureTenantAndPool(client, 'acme', 3);
  await client.request({ type: 'CreateInstance', ...address });
  await client.request({ type: 'StartInstance', ...address });
  const { net } = await client.request({ type: 'DescribeInstance', ...address });
  vmId = net?.tap_dev ?? '';
}, 60_000);
afterEach(async () => {
  faultOf = () => null;
  await client.request({ type: 'DestroyInstance', ...address, wipe_volumes: false });
  await client.close();
  await hostd.close();
  await host.dispose();
});

const vm = (): Promise<GuestNow> => askVm(join(layout.vmSocketDir(vmId), 'control.sock'));
const status = async (): Promise<string> =>
  (await client.request({ type: 'DescribeInstance', ...address })).status;
const told = (): number =>
  [...readFileSync(layout.consoleLog(address), 'utf8').matchAll(/mvm-guest awake/g)].length;
const record = (): string => layout.instanceRecord(address);
/** Any request is behind what is to be settled; this one is refused by a running and by a warm instance. */
const settled = (): Promise<unknown> =>
  expect(client.request({ type: 'StartInstance', ...address })).rejects.toMatchObject({
    reason: 'instance.invalid_transition',
  });

/** Warm, with a record that cannot be replaced and a VM that does not go on. */
async function failCompletely(): Promise<void> {
  faultOf = (call) => {
    if (call === 'pause') {
      renameSync(record(), `${record()}.aside`);
      mkdirSync(join(record(), 'in-the-way'), { recursive: true });
    }
    return call === 'resume' ? 'fail' : null;
  };
  await expect(client.request({ type: 'WarmInstance', ...address })).rejects.toMatchObject({
    reason: 'state.io_error',
  });
  faultOf = () => null;
  rmSync(record(), { recursive: true });
  renameSync(`${record()}.aside`, record());
  expect(await status()).toBe('running');
  expect((await vm()).running).toBe(false);
  expect(existsSync(layout.journal(address))).toBe(true);
}

test.each(['the next request', 'the next hostd'])(
  'a warm that could neither be recorded nor undone is undone by %s, and the guest is told',
  async (by) => {
    await failCompletely();
    if (by === 'the next hostd') {
      await hostd.close();
      hostd = await startInProcess(host);
    }
    await settled();
    expect(await status()).toBe('running');
    expect((await vm()).running).toBe(true);
    expect(existsSync(layout.journal(address))).toBe(false);
    await until('told', () => told() === 1);
    await until('nothing owed', () => !existsSync(layout.wakeOwed(address)));
  },
);

test('a warm that is complete but for its journal stays warm', async () => {
  let journal = '';
  faultOf = (call) => {
    if (call === 'pause') journal = readFileSync(layout.journal(address), 'utf8');
    return null;
  };
  await client.request({ type: 'WarmInstance', ...address });
  writeFileSync(layout.journal(address), journal, { mode: 0o600 });
  await settled();
  expect(await status()).toBe('warm');
  expect((await vm()).running).toBe(false);
  expect(existsSync(layout.journal(address))).toBe(false);
});

test('a guest that was paused in memory is told when it goes on', async () => {
  await client.request({ type: 'WarmInstance', ...address });
  expect(told()).toBe(0);
  await client.request({ type: 'ResumeInstance', ...address });
  expect(told()).toBe(1);
});
