import { mkdir, rm } from 'node:fs/promises';
import { readSecrets, secretsPath, selectSecrets } from '@mvm/secrets-store';
import { savedFiles } from '../../snapshot/snapshot-store.js';
import { makePrivateDir } from '../../state/atomic-file.js';
import { fromFileError } from '../../state/fs-error.js';
import type { HostPorts } from '../ports.js';
import { nothing, type StepExecutor } from './executor.js';
import { requirePassphrase } from './vm.js';

async function removeSockets(vmId: string, { layout }: HostPorts): Promise<void> {
  const dir = layout.vmSocketDir(vmId);
  try {
    // SAFETY: `vmId` is a TAP name, and the layout refuses anything else.
    await rm(dir, { recursive: true, force: true });
  } catch (error) {
    throw fromFileError(error, `cannot remove ${dir}`);
  }
}

/** The directories that a VM's run needs; sockets of an earlier run are removed first. */
export const runtimeCreate: StepExecutor<'runtime.create'> = {
  execute: async ({ address, vmId }, ports) => {
    const { layout } = ports;
    await removeSockets(vmId, ports);
    await makePrivateDir(layout.runtimeDir(address));
    await makePrivateDir(layout.volumesDir(address));
    try {
      await mkdir(layout.vmSocketDir(vmId), { recursive: true, mode: 0o700 });
    } catch (error) {
      throw fromFileError(error, `cannot make ${layout.vmSocketDir(vmId)}`);
    }
  },
  undo: ({ vmId }, ports) => removeSockets(vmId, ports),
};

export const runtimeRemove: StepExecutor<'runtime.remove'> = {
  execute: ({ vmId }, ports) => removeSockets(vmId, ports),
  undo: nothing,
};

export const configDriveBuild: StepExecutor<'config_drive.build'> = {
  execute: async ({ address, config, program }, { disks, layout }) => {
    await disks.buildConfigDrive({ path: layout.configDrive(address), config, program });
  },
  undo: async ({ address }, { layout }) => {
    const path = layout.configDrive(address);
    await rm(path, { force: true }).catch((error: unknown) => {
      throw fromFileError(error, `cannot remove ${path}`);
    });
  },
};

export const secretsDriveBuild: StepExecutor<'secrets_drive.build'> = {
  execute: async ({ address, vmId, scopes }, { disks, layout }) => {
    const secrets = await readSecrets(secretsPath(layout.stateDir, address.tenant_id));
    await disks.buildSecretsDrive({
      path: layout.secretsDrive(vmId),
      secrets: selectSecrets(secrets, scopes),
    });
  },
  undo: async ({ vmId }, { layout }) => {
    const path = layout.secretsDrive(vmId);
    await rm(path, { force: true }).catch((error: unknown) => {
      throw fromFileError(error, `cannot remove ${path}`);
    });
  },
};

/**
 * The data volume is kept whatever happens: once there, it may hold data. Whether it is encrypted is decided, and recorded,
 * before it is made: it is when the tenant has a key then.
 */
export const dataDiskEnsure: StepExecutor<'data_disk.ensure'> = {
  execute: async ({ address, sizeMib }, ports) => {
    const { disks, layout, store, keys } = ports;
    const path = layout.dataDisk(address);
    if (await disks.exists(path)) return;
    const instance = store.instance(address);
    if (instance === undefined) throw new Error('the instance is gone while it is being started');
    let cipher = instance.data_disk_cipher ?? null;
    if (cipher === null) {
      cipher = (await keys.find(address.tenant_id)) === null ? 'none' : 'luks';
      await store.saveInstance({ ...instance, data_disk_cipher: cipher });
    }
    if (cipher === 'none') await disks.ensureDataDisk({ path, sizeMib });
    else {
      const passphrase = await requirePassphrase(address, ports);
      await disks.makeEncryptedDisk({ path, sizeMib, passphrase });
    }
  },
  undo: nothing,
};

export const volumesWipe: StepExecutor<'volumes.wipe'> = {
  execute: async ({ address }, { disks, layout }) => {
    await disks.wipeFile(layout.dataDisk(address));
    await disks.wipeFile(layout.configDrive(address));
    // Memory is what a guest's disks are not: it holds the keys.
    for (const path of await savedFiles(layout.snapshotsDir(address))) await disks.wipeFile(path);
  },
  undo: nothing,
};
