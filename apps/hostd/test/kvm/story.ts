/**
 * hostd and its guests on real KVM, from the first start to the last destroy. The tests are steps of one story, in this
 * order: a step builds on what the one before has left.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { HostdClient } from '@mvm/hostd-client';
import type { ResponseOf } from '@mvm/protocol';
import { type HostSnapshot, patiently, type RunningDaemon, until } from '@mvm/testkit';
import type { Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { InstanceAddress } from '../../src/state/layout.js';
import { ensureTenantAndPool } from '../tenants.js';
import { createVmHost, greeting, guestCount, instanceFile, leftSince, look } from '../vm/vm-host.js';

/** A running VM, and where it is looked at. */
export interface RunningVm {
  readonly vmId: string;
  readonly pid: number;
  readonly uid: number;
  readonly memMib: number;
  /** Its cgroup's directory. */
  readonly cgroup: string;
  /** Its sockets' directory. */
  readonly socketDir: string;
  readonly vmmLogPath: string;
}

/** What differs between the VMMs. */
export interface StorySubject {
  readonly vmm: 'qemu' | 'firecracker';
  /** hostd's arguments that choose the VMM. */
  readonly args: readonly string[];
  /** How often a guest goes warm, runs, sleeps and wakes. */
  readonly cycles: number;
  /** Runs a shell script in a guest, and resolves with its output and status. */
  run(vm: RunningVm, script: string): Promise<{ status: number; output: string }>;
  /** Looks at what only this VMM has. */
  inspect(vm: RunningVm): Promise<void>;
}

const A: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-a' };
const B: InstanceAddress = { tenant_id: 'globex', pool_id: 'workers', instance_id: 'i-b' };
const MEM_MIB = 96;

/** Describes the story of one VMM. */
export function describeHostdStory(subject: StorySubject): void {
  describe(`hostd with ${subject.vmm} on KVM`, () => {
    let host: Host;
    let daemon: RunningDaemon;
    let client: HostdClient;
    let quiet: HostSnapshot;
    let hello: string;

    const request = <R extends Parameters<HostdClient['request']>[0]>(
      body: R,
    ): Promise<ResponseOf<R['type']>> => client.request(body, { timeoutMs: patiently(120_000) });
    const info = (address: InstanceAddress): Promise<ResponseOf<'DescribeInstance'>> =>
      request({ type: 'DescribeInstance', ...address });
    const running = async (address: InstanceAddress): Promise<RunningVm> => {
      const { pid, runtime, net } = await info(address);
      if (pid === null || runtime === null || net === null) throw new Error('not running');
      const path = /^0::(.*)$/m.exec(await readFile(`/proc/${pid}/cgroup`, 'utf8'))?.[1] ?? '';
      return {
        ...{
          vmId: net.tap_dev,
          pid,
          uid: runtime.uid,
          memMib: MEM_MIB,
          cgroup: join('/sys/fs/cgroup', path),
        },
        socketDir: join(host.runDir, 'vm', net.tap_dev),
        vmmLogPath: instanceFile(host, address, 'runtime', 'vmm.log'),
      };
    };
    const countsOn = async (address: InstanceAddress): Promise<void> => {
      const from = await guestCount(client, address);
      await until('counting on', async () => (await guestCount(client, address)) > from, 60_000);
    };
    const runIn = async (
      address: InstanceAddress,
      script: string,
    ): Promise<{ status: number; output: string }> => subject.run(await running(address), script);
    const agentIsBack = (address: InstanceAddress): Promise<unknown> =>
      until('the agent', async () => (await info(address)).agent_connected === true, 60_000);

    beforeAll(async () => {
      host = await createVmHost('test');
      daemon = await host.start({ args: subject.args });
      client = host.client();
      const over = { spec: { instance_resources: { vcpus: 1, mem_mib: MEM_MIB, data_disk_mib: 16 } } };
      await ensureTenantAndPool(client, 'acme', 3, over);
      await ensureTenantAndPool(client, 'globex', 4, over);
      quiet = await look(host);
    }, patiently(120_000));
    afterAll(() => host?.dispose(), patiently(60_000));

    it('chooses KVM, and says why', async () => {
      expect(await request({ type: 'HostInfo' })).toMatchObject({
        vmm: subject.vmm,
        accelerator: 'kvm',
        cgroup_version: 2,
      });
    });

    it('starts two tenants’ guests, which greet and reach their gateways', {
      timeout: patiently(300_000),
    }, async () => {
      for (const address of [A, B]) await request({ type: 'CreateInstance', ...address });
      await Promise.all([A, B].map((address) => request({ type: 'StartInstance', ...address })));
      const greetings = await Promise.all([A, B].map((address) => greeting(client, address)));
      expect(greetings[0]).toContain('tenant=acme pool=workers instance=i-a address=10.240.3.3/24');
      expect(greetings[1]).toContain('tenant=globex pool=workers instance=i-b address=10.240.4.3/24');
      for (const text of greetings) expect(text).toContain('gateway_ping=ok');
      hello = greetings[0] as string;
    });

    it('runs each VMM as a user of its own, on the CPU, within the limits that the kernel shows', {
      timeout: patiently(60_000),
    }, async () => {
      const [a, b] = [await info(A), await info(B)];
      expect(a.runtime?.uid).not.toBe(b.runtime?.uid);
      for (const address of [A, B]) {
        const vm = await running(address);
        const { pid, cgroup } = vm;
        const { runtime } = await info(address);
        expect(runtime).toMatchObject({ vmm: subject.vmm, accelerator: 'kvm' });
        const descriptors = await readdir(`/proc/${pid}/fd`);
        const targets = await Promise.all(
          descriptors.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => '')),
        );
        expect(targets).toEqual(expect.arrayContaining(['anon_inode:kvm-vm', 'anon_inode:kvm-vcpu:0']));
        const status = await readFile(`/proc/${pid}/status`, 'utf8');
        expect(status).toMatch(new RegExp(`^Uid:\\t${vm.uid}\\t${vm.uid}\\t${vm.uid}\\t${vm.uid}$`, 'm'));
        expect(status).toMatch(/^CapEff:\t0+$/m);
        expect(status).toMatch(/^Seccomp:\t2$/m);
        expect(status).toMatch(/^NoNewPrivs:\t1$/m);
        expect(basename(cgroup)).toBe(vm.vmId);
        const value = async (file: string): Promise<string> =>
          (await readFile(join(cgroup, file), 'utf8')).trim();
        expect(Number(await value('memory.max'))).toBe(runtime?.memory_max_bytes);
        expect(Number(await value('memory.max'))).toBeGreaterThan(MEM_MIB * 1_048_576);
        expect(await value('memory.swap.max')).toBe('0');
        expect(await value('cpu.max')).toBe('100000 100000');
        expect(await value('pids.max')).toBe('65');
        expect(Number(await value('memory.current'))).toBeGreaterThan(20 * 1_048_576);
        // Beside the VMM there are KVM's own threads of the VM, in the kernel, which have no command line.
        const others = (await value('cgroup.procs')).split('\n').filter((id) => id !== String(pid));
        for (const other of others) {
          expect(await readFile(`/proc/${other}/comm`, 'utf8')).toMatch(/^kvm-/);
          expect(await readFile(`/proc/${other}/cmdline`, 'utf8')).toBe('');
        }
        expect(await value('cgroup.procs')).toContain(String(pid));
        await subject.inspect(vm);
      }
    });

    it('keeps the two tenants from each other', { timeout: patiently(180_000) }, async () => {
      for (const address of [A, B]) await agentIsBack(address);
      const ping = (to: string): string => `ping -q -c 2 -W 3 ${to} >/dev/null`;
      expect((await runIn(A, ping('10.240.3.1'))).status).toBe(0);
      expect((await runIn(B, ping('10.240.4.1'))).status).toBe(0);
      expect((await runIn(A, ping('10.240.4.3'))).status).not.toBe(0);
      expect((await runIn(B, ping('10.240.3.3'))).status).not.toBe(0);
      expect((await runIn(A, ping('10.240.4.1'))).status).not.toBe(0);
    });

    it('puts a guest to sleep, which then holds nothing, and wakes it where it was, with the time of now', {
      timeout: patiently(300_000),
    }, async () => {
      const before = await info(A);
      await countsOn(A);
      await request({ type: 'SleepInstance', ...A, force: false, drain_timeout_secs: patiently(30) });
      expect(await info(A)).toMatchObject({ status: 'sleeping', pid: null, runtime: null });
      await request({ type: 'WakeInstance', ...A });
      const wokenSec = Date.now() / 1000;
      expect(await info(A)).toMatchObject({ status: 'running', net: before.net });
      await countsOn(A);
      await agentIsBack(A);
      const clockSec = Number((await runIn(A, 'date +%s')).output);
      const passedSec = Date.now() / 1000 - wokenSec;
      expect(Math.abs(clockSec - wokenSec)).toBeLessThan(passedSec + 3);
      expect((await runIn(A, 'ping -q -c 2 -W 3 10.240.3.1 >/dev/null')).status).toBe(0);
    });

    it(`keeps the memory of a warm guest in place, and its agent answers after each of ${subject.cycles} rounds of warm, resume, sleep and wake`, {
      timeout: patiently(120_000 * subject.cycles),
    }, async () => {
      for (let round = 1; round <= subject.cycles; round += 1) {
        const { pid } = await info(A);
        await request({ type: 'WarmInstance', ...A });
        expect(await info(A)).toMatchObject({ status: 'warm', pid });
        await request({ type: 'ResumeInstance', ...A });
        expect(await info(A)).toMatchObject({ status: 'running', pid });
        await agentIsBack(A);
        expect((await runIn(A, `echo resumed ${round}`)).output.trim()).toBe(`resumed ${round}`);
        if (round === subject.cycles) break;
        await request({ type: 'SleepInstance', ...A, force: false, drain_timeout_secs: patiently(30) });
        await request({ type: 'WakeInstance', ...A });
        await agentIsBack(A);
        expect((await runIn(A, `echo woken ${round}`)).output.trim()).toBe(`woken ${round}`);
      }
      await countsOn(A);
      expect(await greeting(client, A)).toBe(hello);
    });

    it('is killed, and the next hostd adopts both guests, which have not noticed', {
      timeout: patiently(180_000),
    }, async () => {
      const before = [await info(A), await info(B)];
      await daemon.kill();
      daemon = await host.start({ args: subject.args });
      const after = [await info(A), await info(B)];
      expect(after.map(({ status, pid }) => [status, pid])).toEqual(
        before.map(({ pid }) => ['running', pid]),
      );
      await countsOn(A);
      await countsOn(B);
      expect(await greeting(client, A)).toBe(hello);
    });

    it('stops one that may shut down by itself, destroys the other while it runs, and leaves nothing', {
      timeout: patiently(180_000),
    }, async () => {
      await request({ type: 'StopInstance', ...A });
      expect(await info(A)).toMatchObject({ status: 'stopped', pid: null, runtime: null });
      for (const address of [A, B]) {
        await request({ type: 'DestroyInstance', ...address, wipe_volumes: true });
        await expect(info(address)).rejects.toMatchObject({ reason: 'instance.not_found' });
      }
      expect(await leftSince(host, quiet)).toEqual([]);
    });
  });
}
