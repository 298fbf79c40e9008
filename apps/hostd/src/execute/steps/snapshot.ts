import { open, stat } from 'node:fs/promises';
import { CodedError } from '@mvm/protocol';
import { livesInMemory } from '../../disk/lives-in-memory.js';
import type { SnapshotManifest } from '../../snapshot/manifest.js';
import {
  checkUsedImages,
  commitSnapshot,
  consumeSnapshot,
  discardSnapshots,
  readManifest,
  requireManifest,
  returnSnapshot,
  savedParts,
  snapshotPaths,
  stageManifest,
  verifyParts,
  writeParts,
} from '../../snapshot/snapshot-store.js';
import { errnoOf, fromFileError } from '../../state/fs-error.js';
import type { InstanceAddress } from '../../state/layout.js';
import { requireTap } from '../../vmm/require-tap.js';
import type { VmSpec } from '../../vmm/vmm.js';
import { killVm, requireLive, setRunState, tellGuestResumed } from '../live-vm.js';
import type { HostPorts } from '../ports.js';
import { nothing, type StepExecutor } from './executor.js';
import { unlockDataDisk, vmSpecOf } from './vm.js';

function pathsOf(
  address: InstanceAddress,
  { layout }: Pick<HostPorts, 'layout'>,
): ReturnType<typeof snapshotPaths> {
  return snapshotPaths(layout.snapshotsDir(address));
}

export const vmPause: StepExecutor<'vm.pause'> = {
  execute: ({ vmId }, ports) => requireLive(vmId, ports).pause(),
  undo: ({ vmId }, ports) => setRunState(vmId, 'resume', ports),
};

/** The writable disks as they are on stable storage now: fsynced, with size and time of last change. */
async function syncDisks(spec: VmSpec): Promise<SnapshotManifest['disks']> {
  const disks: SnapshotManifest['disks'] = [];
  for (const { id, path } of spec.drives.filter((drive) => !drive.readOnly)) {
    const file = await open(path, 'r+').catch((error: unknown) => {
      throw fromFileError(error, `cannot open ${path}`);
    });
    try {
      await file.sync();
      const { size, mtimeNs } = await file.stat({ bigint: true });
      disks.push({ id, path, size_bytes: Number(size), mtime_ns: String(mtimeNs) });
    } finally {
      await file.close();
    }
  }
  return disks;
}

export const snapshotWrite: StepExecutor<'snapshot.write'> = {
  execute: async ({ address, vmId, at, compression, launch }, ports) => {
    const handle = requireLive(vmId, ports);
    const { record } = handle;
    const paths = pathsOf(address, ports);
    const key = await ports.keys.find(address.tenant_id);
    const inPlain = compression === 'none' && key === null;
    const inMemory = await livesInMemory(ports.layout.instanceDir(address));
    const parts = await writeParts(paths, handle.save({ inPlain, inMemory }), { compression, key });
    await stageManifest(paths, {
      format: 1,
      ...address,
      created_at: at,
      vmm: record.vmm,
      vmm_version: record.vmmVersion,
      accelerator: record.spec.accelerator,
      image_digest: launch.image.digest,
      driver_state: record.driverState,
      launch,
      parts,
      disks: await syncDisks(record.spec),
    });
  },
  undo: async ({ address }, ports) => discardSnapshots(pathsOf(address, ports), 'unfinished'),
};

export const snapshotCommit: StepExecutor<'snapshot.commit'> = {
  execute: async ({ address }, ports) => commitSnapshot(pathsOf(address, ports)),
  undo: nothing,
  committed: async ({ address, at }, ports) =>
    (await readManifest(pathsOf(address, ports)))?.created_at === at,
};

/** The writable disks are as they were when the guest was put to sleep. Throws `failed_precondition`, `snapshot.disk_changed`. */
async function requireSameDisks({ disks }: SnapshotManifest): Promise<void> {
  for (const disk of disks) {
    const now = await stat(disk.path, { bigint: true }).catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return null;
      throw fromFileError(error, `cannot look at ${disk.path}`);
    });
    if (now === null || Number(now.size) !== disk.size_bytes || String(now.mtimeNs) !== disk.mtime_ns) {
      throw new CodedError({
        code: 'failed_precondition',
        reason: 'snapshot.disk_changed',
        message: `the ${disk.id} volume ${now === null ? 'is gone' : 'was changed'} since the instance went to sleep`,
        hint: 'Memory and disk do not fit together any more: stop the instance, then start it fresh.',
        details: { disk: disk.id },
      });
    }
  }
}

export const snapshotVerify: StepExecutor<'snapshot.verify'> = {
  prefetch: async ({ address }, ports, signal) => {
    await verifyParts(pathsOf(address, ports), await requireManifest(address, ports.layout), signal);
  },
  execute: async ({ address }, ports) => {
    const manifest = await requireManifest(address, ports.layout);
    const { vmm, vmm_version: vmmVersion } = manifest;
    const refusal = await ports.vmm.canRestore({ vmm, vmmVersion });
    if (refusal !== null) throw refusal;
    await requireSameDisks(manifest);
  },
  undo: nothing,
};

export const vmRestore: StepExecutor<'vm.restore'> = {
  execute: async (args, ports) => {
    const { address, vmId } = args;
    const paths = pathsOf(address, ports);
    const manifest = await requireManifest(address, ports.layout);
    const key = await ports.keys.find(address.tenant_id);
    const { maxSavedFileBytes: maxFileBytes } = await ports.vmm.capabilities(manifest.vmm);
    const handle = await ports.vmm.restore(vmSpecOf(args, ports), (pid) => ports.cgroups.attach(vmId, pid), {
      origin: { vmm: manifest.vmm, vmmVersion: manifest.vmm_version },
      driverState: manifest.driver_state,
      parts: savedParts(paths, manifest, { key, maxFileBytes }),
      passphrase: await unlockDataDisk(args, ports, manifest.vmm),
    });
    ports.vms.add({ address, handle, isAdopted: false });
  },
  undo: ({ vmId }, ports) => killVm(vmId, ports),
};

export const snapshotConsume: StepExecutor<'snapshot.consume'> = {
  execute: async ({ address }, ports) => {
    const paths = pathsOf(address, ports);
    // What is used from here on is the snapshot of this wake, and no older one.
    await discardSnapshots(paths, 'used');
    // A snapshot is not given up for a VMM that has died since it loaded it; pausing a paused one only asks it.
    const vmId = ports.store.instance(address)?.net?.tap_dev;
    if (vmId !== undefined) {
      const handle = requireLive(vmId, ports);
      await handle.pause();
      await requireTap(handle.record.spec);
    }
    // No other process can write to them any more: the VMM has them.
    await requireSameDisks(await requireManifest(address, ports.layout));
    await consumeSnapshot(paths);
  },
  undo: nothing,
  committed: async ({ address }, ports) => {
    // The used snapshot is discarded last, when the record says running.
    if (ports.store.instance(address)?.status === 'running') return true;
    return (await readManifest(pathsOf(address, ports))) === null;
  },
  revertCommit: async ({ address }, ports) => {
    const paths = pathsOf(address, ports);
    const vmId = ports.store.instance(address)?.net?.tap_dev;
    // First the VM ends, so that nothing can run the guest; then the disks prove that nothing has.
    if (vmId !== undefined) await killVm(vmId, ports);
    const manifest = await readManifest({ ...paths, committed: paths.used });
    if (manifest === null) return;
    await requireSameDisks(manifest);
    await returnSnapshot(paths);
  },
};

export const snapshotCheck: StepExecutor<'snapshot.check'> = {
  execute: async ({ address }, ports) => checkUsedImages(pathsOf(address, ports)),
  undo: nothing,
};

export const snapshotDiscard: StepExecutor<'snapshot.discard'> = {
  execute: async ({ address }, ports) => discardSnapshots(pathsOf(address, ports), 'all'),
  undo: nothing,
};

export const guestWake: StepExecutor<'guest.wake'> = {
  execute: async ({ address, vmId }, ports) => {
    await tellGuestResumed(address, vmId, ports);
  },
  undo: nothing,
};
