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
  /** Watch a VM; `logKeepers` are released when it is taken out. */
  add(vm: LiveVm, logKeepers: readonly { release(): void }[]): void;
  /** Stop watching a VM, leaving it alone. */
  remove(vmId: string): void;
  /** Who is told of exits; set once, before the first VM. */
  onExit(listener: (vm: LiveVm, exit: VmExit) => void): void;
  /** Let go of every VM without ending one. */
  releaseAll(): void;
}

export function createVmRegistry(): VmRegistry {
  const live = new Map<string, { vm: LiveVm; keepers: readonly { release(): void }[] }>();
  let listener: (vm: LiveVm, exit: VmExit) => void = () => {};
  const takeOut = (vmId: string): void => {
    const entry = live.get(vmId);
    live.delete(vmId);
    for (const keeper of entry?.keepers ?? []) keeper.release();
    entry?.vm.handle.release();
  };
  return {
    get: (vmId) => live.get(vmId)?.vm,
    add: (vm, keepers) => {
      const { vmId } = vm.handle.record.spec;
      takeOut(vmId);
      live.set(vmId, { vm, keepers });
      void vm.handle.exited.then((exit) => {
        if (live.get(vmId)?.vm === vm) listener(vm, exit);
      });
    },
    remove: takeOut,
    onExit: (next) => {
      listener = next;
    },
    releaseAll: () => {
      for (const vmId of [...live.keys()]) takeOut(vmId);
    },
  };
}
