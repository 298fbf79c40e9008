import { type AgentChannel, createAgentChannel } from '../guest-agent/agent-channel.js';
import type { InstanceAddress } from '../state/layout.js';
import type { VmExit, VmHandle } from '../vmm/vmm.js';
import { GuestLife } from './guest-life.js';

/** A live VM in memory. */
export interface LiveVm {
  readonly address: InstanceAddress;
  readonly handle: VmHandle;
  /** The only channel to its guest's agent. */
  readonly agent: AgentChannel;
  /** Whether its guest was noticed to run. */
  readonly life: GuestLife;
  /** An earlier hostd launched it. */
  readonly isAdopted: boolean;
}

/**
 * The VMs that this process watches, by VM id.
 *
 * INVARIANTS
 * - An exit is reported once, and only for a VM that was not taken out before (by a stop or a destroy).
 */
export interface VmRegistry {
  get(vmId: string): LiveVm | undefined;
  add(vm: Pick<LiveVm, 'address' | 'handle' | 'isAdopted'>): void;
  /** Stop watching a VM, leaving it alone. */
  remove(vmId: string): void;
  /** Called for each exit; set once, before the first VM. */
  onExit(listener: (vm: LiveVm, exit: VmExit) => void): void;
  /** Called for each VM that is added; set once, before the first VM. */
  onAdd(listener: (vm: LiveVm) => void): void;
  /** Stop watching every VM without ending one. */
  detachAll(): void;
}

export function createVmRegistry(): VmRegistry {
  const live = new Map<string, LiveVm>();
  let listener: (vm: LiveVm, exit: VmExit) => void = () => {};
  let added: (vm: LiveVm) => void = () => {};
  const takeOut = (vmId: string): void => {
    const vm = live.get(vmId);
    live.delete(vmId);
    vm?.agent.close();
    vm?.handle.detach();
  };
  return {
    get: (vmId) => live.get(vmId),
    add: ({ address, handle, isAdopted }) => {
      const { vmId } = handle.record.spec;
      const agent = createAgentChannel((signal) => handle.connectAgent(signal));
      const vm: LiveVm = { address, handle, agent, life: new GuestLife(), isAdopted };
      takeOut(vmId);
      live.set(vmId, vm);
      void handle.exited.then((exit) => {
        if (live.get(vmId) === vm) listener(vm, exit);
      });
      added(vm);
    },
    remove: takeOut,
    onExit: (next) => {
      listener = next;
    },
    onAdd: (next) => {
      added = next;
    },
    detachAll: () => {
      for (const vmId of [...live.keys()]) takeOut(vmId);
    },
  };
}
