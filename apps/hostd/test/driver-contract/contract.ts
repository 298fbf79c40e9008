import { readdir, readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import { patiently, until } from '@mvm/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createAgentChannel } from '../../src/guest-agent/agent-channel.js';
import { isAlive } from '../../src/vmm/process/process-identity.js';
import type { SavedVm, VmHandle, Vmm, VmRecord, VmSpec } from '../../src/vmm/vmm.js';
import type { DriverHost } from './driver-host.js';
import { argvOf } from './qemu-argv.js';
import { givenBack, type KeptPart, keepParts } from './saved-parts.js';

/** A driver under the contract, with a host for its VMs. */
export interface ContractSubject {
  readonly vmm: Vmm;
  readonly host: DriverHost;
}

/**
 * What hostd takes for granted of a VMM driver. It runs against each driver and against the fake VMM, so that what is
 * tested with the fake VMM holds for the others. The guest greets with its boot id on its console and counts there.
 */
export function describeVmmContract(name: string, create: () => Promise<ContractSubject>): void {
  describe(`a VM of ${name}`, () => {
    let vmm: Vmm;
    let host: DriverHost;
    let otherVmm: Vmm['name'];
    const specs: VmSpec[] = [];
    const handles: VmHandle[] = [];

    beforeAll(async () => {
      ({ vmm, host } = await create());
      otherVmm = vmm.name === 'qemu' ? 'firecracker' : 'qemu';
    }, patiently(180_000));
    afterEach(async () => {
      for (const handle of handles.splice(0)) await handle.kill();
      for (const spec of specs.splice(0)) await host.discard(spec);
    });
    afterAll(() => host.close());

    async function prepare(offset: number, changes: Partial<VmSpec> = {}): Promise<VmSpec> {
      const spec = await host.prepare(offset, changes);
      specs.push(spec);
      return spec;
    }

    const attach =
      (spec: VmSpec) =>
      (pid: number): Promise<void> =>
        host.cgroups.attach(spec.vmId, pid);

    async function launch(spec: VmSpec): Promise<VmHandle> {
      const handle = await vmm.launch(spec, attach(spec));
      handles.push(handle);
      return handle;
    }

    const consoleOf = (spec: VmSpec): Promise<string> => readFile(spec.consolePath, 'utf8').catch(() => '');
    const boots = async (spec: VmSpec): Promise<string[]> => [
      ...new Set(
        [...(await consoleOf(spec)).matchAll(/boot_id=([0-9a-f-]{36})/g)].map(([, id]) => id as string),
      ),
    ];
    const count = async (spec: VmSpec): Promise<number> =>
      Math.max(
        0,
        ...[...(await consoleOf(spec)).matchAll(/alive count=(\d+)/g)].map((match) => Number(match[1])),
      );
    const countsOn = async (spec: VmSpec): Promise<number> => {
      const from = await count(spec);
      return await until(
        'counting',
        async () => ((await count(spec)) > from ? await count(spec) : null),
        90_000,
      );
    };

    const savedVm = (record: VmRecord, parts: readonly KeptPart[]): SavedVm => ({
      origin: { vmm: record.vmm, vmmVersion: record.vmmVersion },
      driverState: record.driverState,
      parts: givenBack(parts),
    });

    async function expectNothingLeft(spec: VmSpec): Promise<void> {
      // KVM's own threads of the VM, which are in its cgroup, end a moment after it.
      await until(
        'an empty cgroup',
        async () => (await host.cgroups.stats(spec.vmId)).pidsCurrent === 0,
        5_000,
      );
      expect((await readdir(spec.socketDir)).filter((file) => file.endsWith('.sock'))).toEqual([]);
    }

    it('waits until it is let run, is paused, saved, restored where it was, and saved again', {
      timeout: patiently(300_000),
    }, async () => {
      const spec = await prepare(40);
      const handle = await launch(spec);
      const { record } = handle;
      expect(record).toMatchObject({ vmm: vmm.name, vmmVersion: await vmm.version(), spec });
      expect(JSON.parse(JSON.stringify(record))).toEqual(record);
      const [program = ''] = (await readFile(`/proc/${record.pid}/cmdline`, 'utf8')).split('\0');
      expect(vmm.isVmmProgram(basename(program))).toBe(true);
      // Confined to a directory of the driver's own, in which the VM's user can write nothing.
      const [root, hostRoot] = await Promise.all([stat(`/proc/${record.pid}/root/`), stat('/')]);
      expect([root.dev, root.ino]).not.toEqual([hostRoot.dev, hostRoot.ino]);
      expect([root.uid, root.mode & 0o022]).toEqual([0, 0]);
      expect(await readFile(`/proc/${record.pid}/cgroup`, 'utf8')).toContain(`/${spec.vmId}\n`);
      expect(await readFile(`/proc/${record.pid}/status`, 'utf8')).toContain(
        `Uid:\t${spec.uid}\t${spec.uid}\t`,
      );
      const session = (await readFile(`/proc/${record.pid}/stat`, 'utf8')).split(') ')[1]?.split(' ')[3];
      expect(session).toBe(String(record.pid));
      expect(await boots(spec)).toEqual([]);
      expect((await stat(spec.consolePath)).size).toBe(0);

      expect(await handle.resume()).toEqual({ outcome: 'running' });
      expect(await handle.resume()).toEqual({ outcome: 'running' });
      const boot = await until('greeting', async () => (await boots(spec))[0], 120_000);
      await countsOn(spec);
      await until('agent', () => handle.hasAgent(), 60_000);
      const channel = createAgentChannel((signal) => handle.connectAgent(signal));
      await channel.ask({ type: 'Ping' }, { timeoutMs: patiently(60_000) });
      channel.close();

      await handle.pause();
      await handle.pause();
      const paused = await count(spec);
      // A save that is given up leaves the VM paused, as it was.
      for await (const part of handle.save()) {
        for await (const piece of part.bytes) {
          expect(piece.length).toBeGreaterThan(0);
          break;
        }
        break;
      }
      const saved = await keepParts(handle.save());
      const { savedParts } = await vmm.capabilities();
      expect(saved.map(({ name }) => name)).toEqual(savedParts);
      for (const { name, bytes } of saved) {
        expect(name).toMatch(/^[a-z]{1,16}$/);
        expect(bytes.length).toBeGreaterThan(0);
      }
      expect(await count(spec)).toBe(paused);
      await handle.kill();
      await expectNothingLeft(spec);

      const truncated = saved.map(({ name, bytes }) => ({
        name,
        bytes: bytes.subarray(0, bytes.length >> 1),
      }));
      for (const [parts, devices] of [
        [truncated, spec],
        [[], spec],
        [[...saved, ...saved], spec],
        [saved.map(({ bytes }) => ({ name: 'other', bytes })), spec],
        [saved, { ...spec, memMib: spec.memMib * 2, uid: spec.uid + 1, gid: spec.gid + 1 }],
      ] as const) {
        await expect(vmm.restore(devices, attach(spec), savedVm(record, parts))).rejects.toMatchObject({
          reason: expect.stringMatching(/^vmm\./),
        });
        await expectNothingLeft(spec);
      }

      for (const other of [
        { ...record, vmmVersion: '0.0.1' },
        { ...record, vmm: otherVmm },
      ]) {
        expect(await vmm.canRestore(other)).toMatchObject({ reason: 'snapshot.other_version' });
        await expect(vmm.restore(spec, attach(spec), savedVm(other, saved))).rejects.toMatchObject({
          reason: 'snapshot.other_version',
        });
        await expectNothingLeft(spec);
      }
      expect(await vmm.canRestore(record)).toBeNull();
      const restored = await vmm.restore(spec, attach(spec), savedVm(record, saved));
      handles.push(restored);
      expect(await count(spec)).toBe(paused);
      await restored.resume();
      expect(await countsOn(spec)).toBeGreaterThan(paused);
      await restored.pause();
      expect((await keepParts(restored.save())).map(({ name }) => name)).toEqual(
        saved.map(({ name }) => name),
      );
      await restored.resume();
      await countsOn(spec);
      // It never booted again.
      expect(await boots(spec)).toEqual([boot]);
    });

    it('tells what it can do, the same each time', async () => {
      const capabilities = await vmm.capabilities();
      expect(await vmm.capabilities()).toEqual(capabilities);
      expect(capabilities.savedParts.every((name) => /^[a-z]{1,16}$/.test(name))).toBe(true);
      const small = vmm.memoryOverheadMib({ accelerator: capabilities.accelerator, vcpus: 1, memMib: 128 });
      expect(small).toBeGreaterThan(0);
      expect(['sh', 'node', 'vim', ''].some((name) => vmm.isVmmProgram(name))).toBe(false);
    });

    it('is detached from and found again by its record alone; its end is noticed', {
      timeout: patiently(300_000),
    }, async () => {
      const spec = await prepare(41);
      const first = await vmm.launch(spec, attach(spec));
      const { record } = first;
      await first.resume();
      first.detach();
      const wrong: VmRecord[] = [
        { ...record, startTimeTicks: String(Number(record.startTimeTicks) + 1) },
        { ...record, hostBootId: '00000000-0000-0000-0000-000000000000' },
        { ...record, driverState: {} },
        { ...record, driverState: { ...record.driverState, argv: [...argvOf(record), '-S'] } },
        { ...record, pid: process.pid },
        { ...record, vmm: otherVmm },
      ];
      for (const other of wrong) expect(await vmm.adopt(other)).toBeNull();
      const second = await vmm.adopt(record);
      if (second === null) throw new Error('not adopted');
      handles.push(second);
      expect(second.record).toEqual(record);
      await countsOn(spec);
      await second.pause();
      await second.resume();
      await countsOn(spec);
      process.kill(record.pid, 'SIGKILL');
      expect(await second.exited).toEqual({ exitCode: null, signal: null });
      await expect(second.resume()).rejects.toMatchObject({ reason: 'vmm.gone' });
      expect(await vmm.adopt(record)).toBeNull();
    });

    it('is gone after kill, and one that somebody else ends is noticed', {
      timeout: patiently(120_000),
    }, async () => {
      const spec = await prepare(42);
      const killed = await launch(spec);
      await killed.kill();
      expect(await killed.exited).toEqual({ exitCode: null, signal: 'SIGKILL' });
      await killed.kill();
      expect(await isAlive(killed.record)).toBe(false);
      await expectNothingLeft(spec);
      await expect(killed.resume()).rejects.toMatchObject({
        code: 'failed_precondition',
        reason: 'vmm.gone',
      });
      await expect(killed.pause()).rejects.toMatchObject({ reason: 'vmm.gone' });

      const ended = await launch(spec);
      process.kill(ended.record.pid, 'SIGKILL');
      expect(await ended.exited).toEqual({ exitCode: null, signal: 'SIGKILL' });
      await expect(keepParts(ended.save())).rejects.toMatchObject({
        reason: expect.stringMatching(/^vmm\./),
      });
    });

    it('ends when its guest shuts down, which a paused one does not', {
      timeout: patiently(120_000),
    }, async () => {
      const spec = await prepare(44);
      const handle = await launch(spec);
      await handle.powerDown();
      await handle.resume();
      await countsOn(spec);
      // A guest that is still coming up may not listen yet.
      const pressing = setInterval(() => void handle.powerDown().catch(() => {}), 2000);
      try {
        await handle.powerDown();
        expect(await handle.exited).toEqual({ exitCode: 0, signal: null });
      } finally {
        clearInterval(pressing);
      }
      await handle.kill();
      await expectNothingLeft(spec);
      await expect(handle.powerDown()).rejects.toMatchObject({ reason: 'vmm.gone' });
    });

    it('that cannot be launched leaves nothing', { timeout: patiently(120_000) }, async () => {
      const spec = await prepare(43);
      const other = { ...spec, net: { ...spec.net, tapName: 'tn9i44' } };
      await expect(vmm.launch(other, attach(spec))).rejects.toMatchObject({
        reason: expect.stringMatching(/^vmm\./),
      });
      await expectNothingLeft(spec);
      await expect(vmm.launch(spec, () => Promise.reject(new Error('no cgroup')))).rejects.toThrow(
        'no cgroup',
      );
      await expectNothingLeft(spec);
    });
  });
}
