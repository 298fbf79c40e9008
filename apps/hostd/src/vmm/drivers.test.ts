import { CodedError } from '@mvm/protocol';
import { describe, expect, it } from 'vitest';
import { combineDrivers } from './drivers.js';
import type { SavedVm, VmHandle, Vmm, VmRecord, VmSpec } from './vmm.js';

type Name = Vmm['name'];

/** A driver that tells what it is asked, and whose VMs are its name. */
function driver(name: Name, opensEncryptedDrives: boolean, overheadMib: number): Vmm {
  const handle = { record: { vmm: name } } as unknown as VmHandle;
  return {
    name,
    version: async () => `${name} 1`,
    capabilities: async () => ({
      accelerator: 'kvm',
      acceleratorReason: name,
      opensEncryptedDrives,
      savedParts: [name],
      maxSavedFileBytes: overheadMib,
    }),
    memoryOverheadMib: () => overheadMib,
    isVmmProgram: (program) => program === name,
    canRestore: async () => null,
    launch: async () => handle,
    restore: async () => handle,
    adopt: async ({ vmm }) => (vmm === name ? handle : null),
  };
}

const firecracker = driver('firecracker', false, 96);
const qemu = driver('qemu', true, 192);
const spec = {} as VmSpec;
const attach = async (): Promise<void> => {};
const saved = (vmm: Name): SavedVm => ({ origin: { vmm, vmmVersion: '1' }, driverState: {}, parts: [] });
const whose = async (handle: Promise<VmHandle | null>): Promise<string | undefined> =>
  (await handle)?.record.vmm;

describe('two drivers as one', () => {
  const both = combineDrivers({ first: firecracker, others: [qemu], forEncrypted: qemu });

  it('launch with the first, and restore and adopt with the one that the VM had', async () => {
    expect(both.name).toBe('firecracker');
    expect(await both.version()).toBe('firecracker 1');
    expect(await whose(both.launch(spec, attach))).toBe('firecracker');
    for (const name of ['qemu', 'firecracker'] as const) {
      expect(await whose(both.restore(spec, attach, saved(name)))).toBe(name);
      expect(await whose(both.adopt({ vmm: name } as VmRecord))).toBe(name);
      expect(both.isVmmProgram(name)).toBe(true);
      expect((await both.capabilities(name)).savedParts).toEqual([name]);
    }
    expect(both.isVmmProgram('sh')).toBe(false);
    const size = { accelerator: 'kvm', vcpus: 1, memMib: 128 } as const;
    expect(both.memoryOverheadMib(size)).toBe(96);
    expect(both.memoryOverheadMib(size, 'qemu')).toBe(192);
  });

  it('launch an encrypted drive with the one that opens it, where that is allowed', async () => {
    expect((await both.capabilities()).opensEncryptedDrives).toBe(true);
    expect((await both.capabilities('firecracker')).opensEncryptedDrives).toBe(false);
    expect(await whose(both.launch(spec, attach, 'passphrase'))).toBe('qemu');
    const alone = combineDrivers({ first: firecracker, others: [qemu] });
    expect((await alone.capabilities()).opensEncryptedDrives).toBe(false);
  });

  it('find again, and do not launch, what the first cannot run', async () => {
    const problem = new CodedError({
      code: 'failed_precondition',
      reason: 'vmm.kvm_unusable',
      message: 'no KVM',
    });
    const broken = combineDrivers({ first: firecracker, others: [qemu], problem });
    await expect(broken.launch(spec, attach)).rejects.toBe(problem);
    await expect(broken.canRestore(saved('firecracker').origin)).rejects.toBe(problem);
    await expect(broken.restore(spec, attach, saved('firecracker'))).rejects.toBe(problem);
    expect(await whose(broken.restore(spec, attach, saved('qemu')))).toBe('qemu');
    expect(await whose(broken.adopt({ vmm: 'firecracker' } as VmRecord))).toBe('firecracker');
  });
});
