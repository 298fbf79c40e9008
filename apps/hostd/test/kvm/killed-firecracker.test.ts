/**
 * kill -9 of hostd at a sample of steps, with the real Firecracker. Every step of every operation is in the crash matrix, which
 * runs with another VMM: `mvm selftest --crash --vmm firecracker` runs all of it here.
 */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostdClient } from '@mvm/hostd-client';
import { type HostSnapshot, patiently, type RunningDaemon, until } from '@mvm/testkit';
import type { Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { InstanceAddress } from '../../src/state/layout.js';
import { ensureTenantAndPool } from '../tenants.js';
import { createVmHost, greeting, guestCount, leftSince, look } from '../vm/vm-host.js';
import { firecrackerPrograms } from './firecracker.js';

const { firecracker, jailer } = firecrackerPrograms();
const args = ['--vmm', 'firecracker', '--firecracker-binary', firecracker, '--jailer-binary', jailer];
const address: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-killed' };

type Verb =
  | 'StartInstance'
  | 'WarmInstance'
  | 'ResumeInstance'
  | 'SleepInstance'
  | 'WakeInstance'
  | 'StopInstance'
  | 'DestroyInstance';

interface Crash {
  /** Where hostd ends itself. */
  readonly at: string;
  readonly verb: Verb;
  /** What the next hostd makes of it. */
  readonly becomes: readonly string[];
  /** Whether it is the guest of before. */
  readonly keepsGuest: boolean;
}

const CRASHES: readonly Crash[] = [
  { at: 'start/vm.resume/after', verb: 'StartInstance', becomes: ['ready', 'stopped'], keepsGuest: false },
  { at: 'warm/vm.pause/after', verb: 'WarmInstance', becomes: ['running'], keepsGuest: true },
  { at: 'sleep/snapshot.write/after', verb: 'SleepInstance', becomes: ['running'], keepsGuest: true },
  { at: 'sleep/snapshot.commit/after', verb: 'SleepInstance', becomes: ['sleeping'], keepsGuest: true },
  { at: 'wake/vm.restore/after', verb: 'WakeInstance', becomes: ['sleeping'], keepsGuest: true },
  { at: 'wake/vm.resume/after', verb: 'WakeInstance', becomes: ['running', 'sleeping'], keepsGuest: true },
  { at: 'stop/vm.kill/before', verb: 'StopInstance', becomes: ['stopped'], keepsGuest: false },
];
/** What an instance has to be before. */
const FROM: Readonly<Partial<Record<Verb, string>>> = { StartInstance: 'stopped', WakeInstance: 'sleeping' };
const MAKES_RUN: Readonly<Record<string, Verb>> = {
  ready: 'StartInstance',
  stopped: 'StartInstance',
  sleeping: 'WakeInstance',
  warm: 'ResumeInstance',
};

describe('hostd with Firecracker, killed', () => {
  let host: Host;
  let daemon: RunningDaemon;
  let client: HostdClient;
  let quiet: HostSnapshot;

  const failpoint = (): string => join(host.dir, 'failpoint');
  const start = (): Promise<RunningDaemon> => host.start({ args, env: { MVM_FAILPOINT: `@${failpoint()}` } });
  const ask = (type: Verb): Promise<unknown> =>
    client.request(
      {
        type,
        ...address,
        ...(type === 'SleepInstance' || type === 'StopInstance' ? { force: true } : {}),
        ...(type === 'DestroyInstance' ? { wipe_volumes: true } : {}),
      } as Parameters<HostdClient['request']>[0],
      { timeoutMs: patiently(120_000) },
    );
  const status = async (): Promise<string> =>
    (await client.request({ type: 'DescribeInstance', ...address })).status;
  /** How often it booted, and the last boot's id. */
  const boots = async (): Promise<string> => {
    const { data_base64 } = await client.request({ type: 'InstanceLogs', ...address });
    const ids =
      Buffer.from(data_base64, 'base64')
        .toString()
        .match(/boot_id=[0-9a-f-]{36}/g) ?? [];
    return `${ids.length}: ${ids.at(-1)}`;
  };
  const run = async (): Promise<void> => {
    const verb = MAKES_RUN[await status()];
    if (verb !== undefined) await ask(verb);
    expect(await status()).toBe('running');
    const from = await guestCount(client, address);
    await until('counting on', async () => (await guestCount(client, address)) > from, 60_000);
  };
  const bring = async (to: string): Promise<void> => {
    await run();
    if (to === 'stopped') await ask('StopInstance');
    if (to === 'sleeping') await ask('SleepInstance');
  };

  beforeAll(async () => {
    host = await createVmHost('test');
    daemon = await start();
    client = host.client();
    await ensureTenantAndPool(client, 'acme', 3, {
      spec: { instance_resources: { vcpus: 1, mem_mib: 96, data_disk_mib: 16 } },
    });
    quiet = await look(host);
    await client.request({ type: 'CreateInstance', ...address });
    await ask('StartInstance');
    await greeting(client, address);
  }, patiently(240_000));
  afterAll(() => host?.dispose(), patiently(60_000));

  it.each(CRASHES)('at $at, is started again: $becomes', { timeout: patiently(240_000) }, async (crash) => {
    await bring(FROM[crash.verb] ?? 'running');
    const seen = await boots();
    await writeFile(failpoint(), crash.at);
    await ask(crash.verb).catch(() => {});
    expect(await daemon.stop()).toBe('SIGKILL');
    daemon = await start();
    expect(crash.becomes).toContain(await status());
    await run();
    if (crash.keepsGuest) expect(await boots()).toBe(seen);
  });

  it('leaves nothing of all that', { timeout: patiently(120_000) }, async () => {
    await writeFile(failpoint(), 'destroy/instance.remove/before');
    await ask('DestroyInstance').catch(() => {});
    expect(await daemon.stop()).toBe('SIGKILL');
    daemon = await start();
    await ask('DestroyInstance').catch((error: { reason: string }) =>
      expect(error.reason).toBe('instance.not_found'),
    );
    expect(await leftSince(host, quiet)).toEqual([]);
  });
});
