import { execFileSync, spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GuestImage } from '@mvm/guest-image';
import { demoImage, requireOwnNetwork, until } from '@mvm/testkit';
import { type Cgroups, createCgroups } from '../../src/cgroup/cgroups.js';
import { buildConfigDrive } from '../../src/disk/config-drive.js';
import { ensureDataDisk } from '../../src/disk/data-disk.js';
import type { Accelerator, VmSpec } from '../../src/vmm/vmm.js';

const BRIDGE = 'br-drv';
const GATEWAY = '10.240.9.1';
const UID_BASE = 1_900_002_304;
export const LIMITS = { memoryMaxBytes: 640 * 1_048_576, cpuMaxPercent: 100, pidsMax: 65 };

/** A host for VMs of the driver's tests: a bridge in the test's own network namespace, cgroups, a directory. */
export interface DriverHost {
  readonly directory: string;
  readonly cgroups: Cgroups;
  /** Everything that VM number `offset` (3…254) needs, made anew: TAP, cgroup, drives, directories. */
  prepare(offset: number, changes?: Partial<VmSpec>): Promise<VmSpec>;
  /** Takes down what `prepare` made; the VM must be gone. */
  discard(spec: VmSpec): Promise<void>;
  close(): Promise<void>;
}

/** Runs `ip` and returns its output; throws when it fails. */
export function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/**
 * `image` is what VMs boot; the demo image by default. Throws in a network namespace that leads anywhere: the machine's
 * own is left alone.
 */
export async function createDriverHost(
  options: {
    readonly image?: Pick<GuestImage, 'kernel' | 'initrd' | 'rootfs' | 'kernelArgs'>;
    /** Default `tcg`. */
    readonly accelerator?: Accelerator;
    /** Of a VM; default 192. */
    readonly memMib?: number;
  } = {},
): Promise<DriverHost> {
  requireOwnNetwork();
  const image = options.image ?? (await demoImage());
  const directory = await mkdtemp(join(tmpdir(), 'mvm-drv-'));
  ip('link', 'set', 'lo', 'up');
  ip('link', 'add', BRIDGE, 'type', 'bridge');
  ip('addr', 'add', `${GATEWAY}/24`, 'dev', BRIDGE);
  ip('link', 'set', BRIDGE, 'up');
  const cgroups = await createCgroups({ parent: `mvm-drv-${process.pid}` });
  return {
    directory,
    cgroups,
    prepare: async (offset, changes = {}) => {
      const vmId = `tn9i${offset}`;
      const uid = UID_BASE + offset;
      const at = join(directory, vmId);
      await mkdir(at, { mode: 0o700 });
      const mac = `02:fc:00:09:00:${offset.toString(16).padStart(2, '0')}`;
      const config = {
        tenant_id: 'acme',
        pool_id: 'workers',
        instance_id: `i-${vmId}`,
        role: 'worker',
        hostname: vmId,
        net: { address: `10.240.9.${offset}/24`, gateway: GATEWAY, mac, mtu: 1500 },
      };
      await buildConfigDrive({ path: join(at, 'config.ext4'), config });
      await ensureDataDisk({ path: join(at, 'data.ext4'), sizeMib: 32 });
      ip('tuntap', 'add', 'dev', vmId, 'mode', 'tap', 'user', String(uid));
      ip('link', 'set', vmId, 'master', BRIDGE, 'up');
      await cgroups.create(vmId, LIMITS);
      return {
        vmId,
        vcpus: 1,
        memMib: options.memMib ?? 192,
        kernelPath: image.kernel,
        initrdPath: image.initrd,
        kernelArgs: image.kernelArgs,
        drives: [
          { id: 'rootfs', path: image.rootfs, readOnly: true },
          { id: 'config', path: join(at, 'config.ext4'), readOnly: true },
          { id: 'data', path: join(at, 'data.ext4'), readOnly: false },
        ],
        net: { tapName: vmId, mac },
        uid,
        gid: uid,
        socketDir: at,
        consolePath: join(at, 'console.log'),
        vmmLogPath: join(at, 'vmm.log'),
        accelerator: options.accelerator ?? 'tcg',
        ...changes,
      };
    },
    discard: async (spec) => {
      await cgroups.remove(spec.vmId);
      const links = ip('-o', 'link');
      if (links.includes(` ${spec.vmId}:`)) ip('link', 'del', spec.vmId);
      await rm(spec.socketDir, { recursive: true, force: true });
    },
    close: async () => {
      ip('link', 'del', BRIDGE);
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Waits for a text on a console; throws with what is there after `timeoutMs`. */
export async function consoleShows(path: string, text: string | RegExp, timeoutMs = 60_000): Promise<string> {
  let shown = '';
  const shows = async (): Promise<boolean> => {
    shown = await readFile(path, 'utf8').catch(() => '');
    return typeof text === 'string' ? shown.includes(text) : text.test(shown);
  };
  await until(String(text), shows, timeoutMs).catch((error: Error) => {
    throw new Error(`${error.message}; there is:\n${shown}`, { cause: error });
  });
  return shown;
}

/** Whether the guest at an offset answers one of at most `tries` pings; each waits for a second. */
export function answersPing(offset: number, tries: number): boolean {
  for (let done = 0; done < tries; done += 1) {
    // busybox is what the guest image is made of, so it is there.
    const { status, error } = spawnSync('busybox', [
      'ping',
      '-q',
      '-c',
      '1',
      '-W',
      '1',
      `10.240.9.${offset}`,
    ]);
    if (error !== undefined) throw error;
    if (status === 0) return true;
  }
  return false;
}
