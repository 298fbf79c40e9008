import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostdClient } from '@mvm/hostd-client';
import { type RunningDaemon, until } from '@mvm/testkit';
import type { Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { InstanceAddress } from '../../src/state/layout.js';
import { ensureTenantAndPool } from '../tenants.js';
import { execIn, openSession } from './guest-sessions.js';
import { busyboxLayer, consoleSays, createImportHost, importOwn } from './imported-host.js';

// A guest whose root has ended our agent and sends what it likes as frames of streams, beside a guest of another tenant.

let host: Host;
let hostd: RunningDaemon;
let client: HostdClient;
const good: InstanceAddress = { tenant_id: 'globex', pool_id: 'workers', instance_id: 'i-good' };

/** Process 1 of the wild guest. */
const WILD_INIT = readFileSync(new URL('wild-init.sh', import.meta.url));

beforeAll(async () => {
  host = await createImportHost();
  hostd = await host.start();
  client = host.client();
  await importOwn(host, 'good', {
    layers: [busyboxLayer()],
    config: { Cmd: ['/bin/sleep', '100000'], Env: ['PATH=/bin'] },
  });
  await importOwn(host, 'wild', {
    layers: [[...busyboxLayer(), { name: 'sbin/init', data: WILD_INIT, mode: 0o755 }]],
    config: { Cmd: ['/sbin/init'] },
  });
  await boot(good, 4, { flake_ref: 'good' });
  await consoleSays(client, good, /mvm-guest ready /);
}, 240_000);
afterAll(() => host?.dispose());

async function boot(
  address: InstanceAddress,
  netId: number,
  spec: { flake_ref: string; env?: Record<string, string> },
): Promise<void> {
  const instance_resources = { vcpus: 1, mem_mib: 192, data_disk_mib: 0 };
  await ensureTenantAndPool(client, address.tenant_id, netId, { spec: { ...spec, instance_resources } });
  await client.request({ type: 'CreateInstance', ...address });
  await client.request({ type: 'StartInstance', ...address });
}

const auditText = (): Promise<string> => readFile(join(host.stateDir, 'tenants/acme/audit.log'), 'utf8');

/** The most memory that hostd ever had, MiB. */
async function peakMib(): Promise<number> {
  const status = await readFile(`/proc/${hostd.pid}/status`, 'utf8');
  return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
}

/** A length, a type, the stream's id (the first is 1), a channel; the rest are zeros. */
test.each([
  ['more data than it has credit for', '\\000\\000\\200\\006\\002\\000\\000\\000\\001\\001', 32_768],
  ['data of a stream that is not open', '\\000\\000\\200\\006\\002\\000\\000\\115\\115\\001', 32_768],
  ['an end that says nothing', '\\000\\000\\000\\010\\007\\000\\000\\000\\001', 3],
  ['a frame beyond all bounds', '\\377\\377\\377\\377', 0],
])(
  '%s ends its own stream with an error, and leaves the streams of another guest alone',
  async (what, frame, fill) => {
    const address = {
      tenant_id: 'acme',
      pool_id: 'workers',
      instance_id: `i-${what.replace(/[^a-z]+/g, '-')}`,
    };
    const before = await peakMib();
    await boot(address, 3, { flake_ref: 'wild', env: { WILD: frame, FILL: String(fill) } });
    await consoleSays(client, address, /the port is taken/);
    const steady = await openSession(host.socketPath, good, { kind: 'exec', args: ['cat'], stdin: true });
    let read = (): void => {};
    const unread = new Promise<void>((resolve) => {
      read = resolve;
    });
    // Nothing of it is read, so it gets no more credit than it begins with.
    const open = { kind: 'exec', args: ['true'] } as const;
    const wild = await openSession(host.socketPath, address, { ...open, args: [...open.args] }, () => unread);
    const closed = `"close_stream","tenant_id":"acme","pool_id":"workers","instance_id":"${address.instance_id}"`;
    await until('the end of its stream', async () => (await auditText()).includes(closed), 60_000);
    read();
    expect((await wild.outcome).end).toEqual({
      reason: expect.stringMatching(/^(guest_stream|guest_agent|frame)\./),
    });

    // The wild guest goes on; what the other one is asked is answered meanwhile.
    await steady.write(Buffer.from('still here\n'));
    await until('the echo', () => steady.written() === 'still here\n');
    steady.endInput();
    expect((await steady.outcome).end).toEqual({ code: 0 });
    const input = Buffer.alloc(1_048_576, 'x');
    const { stdout, end } = await execIn(host.socketPath, good, ['cat'], { input });
    expect(end).toEqual({ code: 0 });
    expect(stdout.equals(input)).toBe(true);
    expect((await peakMib()) - before).toBeLessThan(64);
    await client.request({ type: 'DestroyInstance', ...address, wipe_volumes: false });
  },
  120_000,
);
