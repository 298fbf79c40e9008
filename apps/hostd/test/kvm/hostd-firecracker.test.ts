import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { createApi } from '../../src/vmm/firecracker/api.js';
import { apiSocketPath, JAIL, vsockPath } from '../../src/vmm/firecracker/machine.js';
import { AGENT_PORT, connectGuest } from '../../src/vmm/firecracker/vsock.js';
import { RUNNING } from '../fake-firecracker/exchanges.js';
import { guestOver } from '../vm/guest.js';
import { firecrackerPrograms } from './firecracker.js';
import { describeHostdStory, type RunningVm } from './story.js';

const { firecracker, jailer } = firecrackerPrograms();
const inJail = ({ pid }: RunningVm, path: string): string => join(`/proc/${pid}/root`, path);

describeHostdStory({
  vmm: 'firecracker',
  args: ['--vmm', 'firecracker', '--firecracker-binary', firecracker, '--jailer-binary', jailer],
  cycles: 5,
  run: (vm, script) => {
    const open = async () => {
      const path = inJail(vm, vsockPath({ socketDir: vm.socketDir }));
      const stream = await connectGuest(path, AGENT_PORT, AbortSignal.timeout(60_000));
      if (stream === null) throw new Error('nobody in the guest listens');
      return stream;
    };
    return guestOver(open, vm.vmId).run(script, 60);
  },
  inspect: async (vm) => {
    const { pid, uid, socketDir } = vm;
    // Every thread has the filter, and nothing that it could gain privileges by.
    const threads = await readdir(`/proc/${pid}/task`);
    expect(threads.length).toBeGreaterThanOrEqual(3);
    for (const thread of threads) {
      const status = await readFile(`/proc/${pid}/task/${thread}/status`, 'utf8');
      expect(status).toMatch(/^Seccomp:\t2$/m);
      expect(status).toMatch(/^NoNewPrivs:\t1$/m);
      expect(status).toMatch(/^Cap(?:Prm|Eff|Inh|Amb):\t0{16}$/m);
      expect(status).toMatch(/^Groups:\t *$/m);
      expect(status).toMatch(new RegExp(`^Gid:\\t${uid}\\t${uid}\\t${uid}\\t${uid}$`, 'm'));
    }
    const limits = await readFile(`/proc/${pid}/limits`, 'utf8');
    // It dies of writing a snapshot that is larger than this.
    const fileSize = Number(/^Max file size +(\d+) /m.exec(limits)?.[1]);
    expect(fileSize).toBeGreaterThanOrEqual(vm.memMib * 1_048_576);
    expect(fileSize).toBeLessThan(4 * vm.memMib * 1_048_576);
    expect(Number(/^Max open files +(\d+) /m.exec(limits)?.[1])).toBeLessThanOrEqual(4096);
    expect(Number(/^Max core file size +(\d+) /m.exec(limits)?.[1])).toBe(0);

    // The jail: nothing but its own, no directory that its user can write to.
    const top = await readdir(inJail(vm, '/'));
    const known = [
      'dev',
      'drive-config',
      'drive-data',
      'drive-rootfs',
      'firecracker',
      'initrd',
      'kernel',
      'run',
      'state',
    ];
    expect(
      top.filter(
        (name) =>
          !known.includes(name) && !name.endsWith('.pid') && `/${name}` !== `/${socketDir.split('/')[1]}`,
      ),
    ).toEqual([]);
    for (const path of ['/', '/dev', '/dev/net', '/run', JAIL.stateDir, socketDir]) {
      const { uid: owner, mode } = await stat(inJail(vm, path));
      expect([path, owner, mode & 0o022]).toEqual([path, 0, 0]);
    }
    const devices = (await readdir(inJail(vm, '/dev'))).filter((name) => name !== 'userfaultfd');
    expect(devices.sort()).toEqual(['kvm', 'net', 'urandom']);
    const sockets = (await readdir(inJail(vm, socketDir))).sort();
    expect(sockets).toEqual(
      [apiSocketPath({ socketDir }), vsockPath({ socketDir })].map((path) => path.split('/').at(-1)).sort(),
    );
    const mounts = await readFile(`/proc/${pid}/mountinfo`, 'utf8');
    for (const name of [JAIL.kernel, JAIL.initrd, JAIL.drive('rootfs'), JAIL.drive('config')])
      expect(mounts).toMatch(new RegExp(` ${name} ro,nosuid,nodev,noexec`));
    expect(mounts).toMatch(new RegExp(` ${JAIL.drive('data')} rw,nosuid,nodev,noexec`));
    // No other directory of the host.
    expect(mounts.split('\n').filter((line) => / \/(?:proc|sys|home|etc|usr)(?: |\/)/.test(line))).toEqual(
      [],
    );
    // The fake of the other tiers answers as this one does.
    const api = createApi(inJail(vm, apiSocketPath({ socketDir })));
    for (const { request, status } of RUNNING) {
      const answered = await api.call(request).then(
        (answer) => (answer === null ? 204 : 200),
        (error: { details: { status: number } }) => error.details.status,
      );
      expect([request, answered]).toEqual([request, status]);
    }
    // No text of a guest's configuration is in the log.
    expect(await readFile(vm.vmmLogPath, 'utf8')).not.toContain('mvm.drives');
  },
});
