import type { CodedError } from '@mvm/protocol';
import type { Vmm, VmmCapabilities, VmOrigin } from './vmm.js';

export interface DriverSet {
  /** What instances are started with. */
  readonly first: Vmm;
  /** What older instances may run, or sleep, with. */
  readonly others: readonly Vmm[];
  /** Why `first` runs no guest on this host, or null. */
  readonly problem?: CodedError | null;
  /** What was found out about Firecracker. */
  readonly firecracker?: VmmCapabilities['firecracker'];
  /** What opens the encrypted drives that `first` does not; null: nothing. */
  readonly forEncrypted?: Vmm | null;
}

/**
 * Several drivers as one: an instance starts with the first of them, and is found again and woken by the one that it was
 * started with.
 */
export function combineDrivers(drivers: DriverSet): Vmm {
  const { first, others, problem = null, forEncrypted = null, firecracker } = drivers;
  const all = [first, ...others];
  const driverOf = (name: VmOrigin['vmm']): Vmm => all.find((driver) => driver.name === name) ?? first;
  const usable = (driver: Vmm): Vmm => {
    if (driver === first && problem !== null) throw problem;
    return driver;
  };
  return {
    name: first.name,
    version: () => first.version(),
    capabilities: async (vmm) => {
      if (vmm !== undefined) return await driverOf(vmm).capabilities();
      const own = await first.capabilities();
      const opensEncryptedDrives = own.opensEncryptedDrives || forEncrypted !== null;
      return { ...own, opensEncryptedDrives, ...(firecracker === undefined ? {} : { firecracker }) };
    },
    memoryOverheadMib: (spec, vmm = first.name) => driverOf(vmm).memoryOverheadMib(spec),
    isVmmProgram: (name) => all.some((driver) => driver.isVmmProgram(name)),
    canRestore: async (origin) => await usable(driverOf(origin.vmm)).canRestore(origin),
    launch: async (spec, attach, passphrase = null) => {
      const driver = passphrase === null ? first : (forEncrypted ?? first);
      return await usable(driver).launch(spec, attach, passphrase);
    },
    restore: async (spec, attach, saved) =>
      await usable(driverOf(saved.origin.vmm)).restore(spec, attach, saved),
    adopt: async (record) => await driverOf(record.vmm).adopt(record),
  };
}
