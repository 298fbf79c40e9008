import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createHostdClient, type HostdClient } from '@mvm/hostd-client';
import { addImage, imagesDir, removeImage } from '@mvm/image-store';
import { removeCgroups } from '@mvm/node-host';
import { isCodedError } from '@mvm/protocol';
import type { InsideOptions } from '../events.js';
import type { ViewPlace } from '../host/host-view.js';
import { type HostdProcess, startHostd } from '../host/hostd-process.js';
import { runTool } from '../host/run-tool.js';
import { createStateVolume, type StateVolume } from '../host/state-volume.js';
import { findProcesses, killProcess } from '../host/vmm-processes.js';

/** The host that is crashed: one hostd, its directories and its network namespace. */
export interface CrashHost extends ViewPlace {
  readonly client: HostdClient;
  /** Null where power cannot be lost; the reason is in `volumeReason`. */
  readonly volume: StateVolume | null;
  readonly volumeReason: string;
  readonly memMib: number;
  /** The hostd that runs, or ran last. */
  hostd(): HostdProcess;
  /** Start one, in place of the one that has ended. Rejects with its log when it does not come up. */
  restart(): Promise<void>;
  /** Have hostd kill or stop itself at a point; null: at none. */
  setFailpoint(point: string | null): Promise<void>;
  /** Register the image under a name, or take the name away. */
  addImage(name: string): Promise<void>;
  removeImage(name: string): Promise<void>;
  /** SIGKILL every VMM of this host. */
  killVmms(): Promise<void>;
  /** The pid of a VM's VMM as the kernel shows it, or null. */
  vmmPid(tap: string): Promise<number | null>;
  /** As after a loss of power: nothing but the disk as it was last copied. hostd has ended before. */
  reboot(): Promise<void>;
}

export async function createCrashHost(options: InsideOptions): Promise<CrashHost> {
  const { dir, cgroupParent } = options;
  const stateDir = join(dir, 's');
  const runDir = join(dir, 'r');
  const temporaryDir = join(dir, 't');
  const socketPath = join(runDir, 'hostd.sock');
  const failpointFile = join(dir, 'failpoint');
  await runTool('ip', ['link', 'set', 'lo', 'up']);
  await mkdir(temporaryDir);
  await mountRunDir(runDir);
  const made = await createStateVolume(dir, stateDir);
  await mkdir(stateDir, { recursive: true, mode: 0o700 });
  const register = async (name: string): Promise<void> => {
    const { kernel, initrd, rootfs, kernelArgs } = options.image;
    await addImage(imagesDir(stateDir), { name, kernel, initrd: initrd ?? undefined, rootfs, kernelArgs });
  };
  await register('selftest');
  const start = (): Promise<HostdProcess> =>
    startHostd({
      program: options.hostd,
      socketPath,
      env: { MVM_FAILPOINT: `@${failpointFile}`, TMPDIR: temporaryDir },
      args: [
        ...[
          '--config',
          configPath(dir),
          '--state-dir',
          stateDir,
          '--run-dir',
          runDir,
          '--socket',
          socketPath,
        ],
        ...['--vm-uid-base', String(options.vmUidBase), '--vmm', options.vmm],
        ...['--cgroup-parent', cgroupParent, '--log-level', 'trace', '--tenant-keys-dir', join(dir, 'keys')],
      ],
    });
  await writeFile(configPath(dir), '# Nothing: a self-test does not take over the settings of this host.\n');
  let hostd = await start();
  const client = createHostdClient({ socketPath, clientName: 'mvm-selftest' });
  const host: CrashHost = {
    dir,
    stateDir,
    runDir,
    temporaryDir,
    cgroupParent,
    client,
    memMib: options.memMib,
    volume: made.volume,
    volumeReason: made.volume === null ? made.reason : '',
    hostd: () => hostd,
    restart: async () => {
      hostd = await start();
    },
    setFailpoint: async (point) => {
      if (point === null) await rm(failpointFile, { force: true });
      else await writeFile(failpointFile, point);
    },
    addImage: register,
    removeImage: async (name) => {
      await removeImage(imagesDir(stateDir), name).catch((error: unknown) => {
        if (!isCodedError(error) || error.code !== 'not_found') throw error;
      });
    },
    killVmms: async () => {
      for (const { pid, argv } of await findProcesses(`${runDir}/vm/`)) {
        if (/qemu|firecracker/.test(argv[0] ?? '')) await killProcess(pid);
      }
    },
    vmmPid: async (tap) => {
      const found = await findProcesses(`${runDir}/vm/${tap}/`);
      return found.find(({ argv }) => /qemu|firecracker/.test(argv[0] ?? ''))?.pid ?? null;
    },
    reboot: async () => {
      if (made.volume === null) throw new Error('this host has no disk that could lose power');
      await host.killVmms();
      for (const { pid } of await findProcesses(`${dir}/`)) {
        if (pid !== process.ppid) await killProcess(pid);
      }
      await removeCgroups(cgroupParent);
      await forgetNetwork();
      await runTool('umount', ['--lazy', runDir]);
      await mountRunDir(runDir);
      await rm(temporaryDir, { recursive: true, force: true });
      await mkdir(temporaryDir);
      await made.volume.comeBack();
    },
  };
  return host;
}

function configPath(dir: string): string {
  return join(dir, 'hostd.toml');
}

/** An empty run directory, as after a boot: on a tmpfs, because guests' secrets are in it. PRIVILEGE: mounts. */
async function mountRunDir(runDir: string): Promise<void> {
  await mkdir(runDir, { recursive: true, mode: 0o755 });
  await runTool('mount', ['-t', 'tmpfs', '-o', 'mode=0755,nosuid,nodev', 'mvm-selftest', runDir]);
}

/** Remove every link and all rules of this network namespace, which a boot would not bring back. */
async function forgetNetwork(): Promise<void> {
  await runTool('nft', ['flush', 'ruleset']);
  const links = JSON.parse(await runTool('ip', ['-j', 'link'])) as { ifname: string }[];
  for (const { ifname } of links) {
    if (/^(tn\d|br-tenant-)/.test(ifname)) await runTool('ip', ['link', 'del', ifname]);
  }
}
