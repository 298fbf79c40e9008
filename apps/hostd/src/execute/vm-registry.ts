import type { InstanceAddress } from '../state/layout.js';
import type { VmExit, VmHandle } from '../vmm/vmm.js';

/** A live VM in memory. */
export interface LiveVm {
  readonly address: InstanceAddress;
  readonly handle: VmHandle;
}

/**
 * The VMs that this process watches, by VM id.
 *
 * INVARIANTS
 * - An exit is reported once, and only for a VM that was not taken out before (by a stop or a destroy).
 */
export interface VmRegistry {
  get(vmId: string): LiveVm | undefined;
  add(vm: LiveVm): void;
  /** Stop watching a VM, leaving it alone. */
  remove(vmId: string): void;
  /** Called for each exit; set once, before the first VM. */
  onExit(listener: (vm: LiveVm, exit: VmExit) => void): void;
  /** Stop watching every VM without ending one. */
  detachAll(): void;
}

export function createVmRegistry(): VmRegistry {
  const live = new Map<string, LiveVm>();
  let listener: (vm: LiveVm, exit: VmExit) => void = () => {};
  const takeOut = (vmId: string): void => {
    const vm = live.get(vmId);
    live.delete(vmId);
    vm?.handle.detach();
  };
  return {
    get: (vmId) => live.get(vmId),
    add: (vm) => {
      const { vmId } = vm.handle.record.spec;
      takeOut(vmId);
      live.set(vmId, vm);
      void vm.handle.exited.then((exit) => {
        if (live.get(vmId) === vm) listener(vm, exit);
      });
    },
    remove: takeOut,
    onExit: (next) => {
      listener = next;
    },
    detachAll: () => {
      for (const vmId of [...live.keys()]) takeOut(vmId);
    },
  };
}
