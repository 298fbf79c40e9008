import type { VmRecord } from '../../src/vmm/vmm.js';

/** The arguments, program first, that the QEMU driver and the fake one record. */
export function argvOf({ driverState }: Pick<VmRecord, 'driverState'>): string[] {
  return driverState.argv as string[];
}
