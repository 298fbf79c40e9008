import { randomBytes } from 'node:crypto';
import { copyFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { buildGuestImage } from '@mvm/guest-image';
import { until } from '@mvm/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createAgentChannel } from '../../src/guest-agent/agent-channel.js';
import { agentSocketPath } from '../../src/vmm/qemu/argv.js';
import { createQemuVmm } from '../../src/vmm/qemu/driver.js';
import type { VmHandle, VmRecord, VmSpec } from '../../src/vmm/vmm.js';
import { consoleShows, createDriverHost, type DriverHost } from '../driver-contract/driver-host.js';
import { givenBack, type KeptPart, keepParts } from '../driver-contract/saved-parts.js';
import { guestBehind } from './guest.js';

// hostd uses a snapshot once. Here one is used again and again, by the driver itself, to see what a guest's generator
// of random numbers makes of a restore: the same numbers each time, unless the guest is told otherwise.

const outDir = fileURLToPath(new URL('../../../../.cache/guest-image', import.meta.url));
const vmm = createQemuVmm();
let host: DriverHost;
let spec: VmSpec;
const handles: VmHandle[] = [];

beforeAll(async () => {
  host = await createDriverHost({ image: await buildGuestImage({ outDir, variant: 'test' }) });
  spec = await host.prepare(3);
}, 180_000);
afterAll(async () => {
  for (const handle of handles) await handle.kill();
  await host.discard(spec);
  await host.close();
});

interface Saved {
  readonly record: VmRecord;
  readonly parts: readonly KeptPart[];
}

async function boot(): Promise<VmHandle> {
  const handle = await vmm.launch(spec, (pid) => host.cgroups.attach(spec.vmId, pid));
  handles.push(handle);
  await handle.resume();
  await consoleShows(spec.consolePath, /mvm-guest ready .*boot_id=/, 120_000);
  // Its agent comes after its greeting.
  await until('agent', () => handle.hasAgent(), 60_000);
  // The generator starts afresh by itself a few seconds after it last did, and the later the longer the guest is up: not
  // between the restore and what is drawn then.
  await guestBehind(agentSocketPath(spec), spec.vmId).output(
    'while [ $(cut -d . -f 1 /proc/uptime) -lt 20 ]; do sleep 1; done; mvm-reseed',
    60,
  );
  return handle;
}

/** The guest as it is now, and its end. */
async function saveAndEnd(handle: VmHandle): Promise<Saved> {
  await handle.pause();
  const parts = await keepParts(handle.save());
  await handle.kill();
  await copyFile(dataDisk(), `${dataDisk()}.saved`);
  return { record: handle.record, parts };
}

const dataDisk = (): string => spec.drives.find(({ id }) => id === 'data')?.path ?? '';

/** Some hundred random numbers of the guest right after it was restored, or right after it was told so. */
async function drawn({ record, parts }: Saved, resync: boolean): Promise<Set<string>> {
  await copyFile(`${dataDisk()}.saved`, dataDisk());
  const handle = await vmm.restore(spec, (pid) => host.cgroups.attach(spec.vmId, pid), {
    origin: record,
    driverState: record.driverState,
    parts: givenBack(parts),
  });
  handles.push(handle);
  await handle.resume();
  if (resync) {
    const channel = createAgentChannel((signal) => handle.connectAgent(signal));
    const request = {
      type: 'Resync',
      unix_time_ms: Date.now(),
      entropy_base64: randomBytes(64).toString('base64'),
    } as const;
    expect(await channel.ask(request, { timeoutMs: 60_000 })).toMatchObject({ success: true });
    channel.close();
  }
  const numbers = await guestBehind(agentSocketPath(spec), spec.vmId).output(
    'dd if=/dev/urandom bs=32 count=300 2>/dev/null | xxd -p -c 32',
  );
  await handle.kill();
  return new Set(numbers.split('\n'));
}

const shared = (one: Set<string>, other: Set<string>): number =>
  [...one].filter((number) => other.has(number)).length;

test('numbers repeat after two restores of one snapshot, and do not once the guest has heard Resync', async () => {
  const saved = await saveAndEnd(await boot());
  const untold = [await drawn(saved, false), await drawn(saved, false)] as const;
  const told = [await drawn(saved, true), await drawn(saved, true)] as const;
  for (const numbers of [...untold, ...told]) expect(numbers.size).toBe(300);
  // The control: without it, what one restore draws the other had drawn as well.
  expect(shared(...untold)).toBeGreaterThan(0);
  expect(shared(...told)).toBe(0);
  expect(shared(told[0], untold[0])).toBe(0);
});
