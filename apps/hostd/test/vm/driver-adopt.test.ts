import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { isAlive } from '../../src/vmm/process/process-identity.js';
import { createQemuVmm } from '../../src/vmm/qemu/driver.js';
import type { VmHandle, VmRecord, VmSpec } from '../../src/vmm/vmm.js';
import {
  answersPing,
  consoleShows,
  createDriverHost,
  type DriverHost,
} from '../driver-contract/driver-host.js';
import { argvOf } from '../driver-contract/qemu-argv.js';

const vmm = createQemuVmm();
const launcher = join(dirname(fileURLToPath(import.meta.url)), 'launch-and-wait.mjs');
let host: DriverHost;
let adopted: VmHandle | null = null;
const specs: VmSpec[] = [];

beforeAll(async () => {
  host = await createDriverHost();
}, 180_000);
afterEach(async () => {
  await adopted?.kill();
  adopted = null;
  for (const spec of specs.splice(0)) {
    await host.cgroups.kill(spec.vmId);
    await host.discard(spec);
  }
});
afterAll(() => host.close());

/** A VM whose launcher, another process, has been killed with SIGKILL. */
async function orphan(offset: number): Promise<VmRecord> {
  const spec = await host.prepare(offset);
  specs.push(spec);
  const child: ChildProcess = spawn(
    process.execPath,
    [launcher, JSON.stringify(spec), `mvm-drv-${process.pid}`, spec.vmId],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const exit = once(child, 'exit');
  if (child.stdout === null) throw new Error('no output');
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  child.kill('SIGKILL');
  await exit;
  return JSON.parse(line) as VmRecord;
}

describe('a microVM whose hostd was killed', () => {
  it('lives on, is adopted, obeys, and its end is noticed', async () => {
    const record = await orphan(20);
    expect(await isAlive(record)).toBe(true);
    adopted = await vmm.adopt(record);
    expect(adopted?.record).toEqual(record);
    await consoleShows(record.spec.consolePath, 'gateway_ping=ok');
    await adopted?.pause();
    expect(answersPing(20, 2)).toBe(false);
    await adopted?.resume();
    expect(answersPing(20, 20)).toBe(true);
    const begun = performance.now();
    process.kill(record.pid, 'SIGKILL');
    expect(await adopted?.exited).toEqual({ exitCode: null, signal: null });
    expect(performance.now() - begun).toBeLessThan(2_000);
    await expect(vmm.adopt(record)).resolves.toBeNull();
  });

  it('can be let go of and adopted again, and killed', async () => {
    const record = await orphan(21);
    const first = await vmm.adopt(record);
    first?.detach();
    expect(await isAlive(record)).toBe(true);
    adopted = await vmm.adopt(record);
    await adopted?.kill();
    expect(await adopted?.exited).toEqual({ exitCode: null, signal: null });
    expect(await isAlive(record)).toBe(false);
  });

  it('is not taken for another one: pid, start time, boot and arguments must all fit', async () => {
    const record = await orphan(22);
    const wrong: VmRecord[] = [
      { ...record, startTimeTicks: String(Number(record.startTimeTicks) + 1) },
      { ...record, hostBootId: '00000000-0000-0000-0000-000000000000' },
      { ...record, driverState: { argv: [...argvOf(record), '-S'] } },
      { ...record, driverState: {} },
      { ...record, pid: process.pid },
      { ...record, vmm: 'firecracker' },
    ];
    for (const other of wrong) expect(await vmm.adopt(other)).toBeNull();
    adopted = await vmm.adopt(record);
    expect(adopted).not.toBeNull();
  });
});
