import type { StopReason } from '@mvm/protocol';
import type { LiveVm } from '../execute/vm-registry.js';
import { planReap } from '../plan/plan-stop.js';
import type { InstanceAddress } from '../state/layout.js';
import type { VmExit } from '../vmm/vmm.js';
import { consoleTail } from './console-tail.js';
import { readGuestExit } from './guest-exit.js';
import { endInput, type InstanceOperation, type OperationDeps } from './operation.js';
import type { OperationContext } from './operation-context.js';
import { runJournaled } from './run-journaled.js';
import { exitReason } from './stop-reasons.js';

/** A VM that ended by itself. */
export interface ReapOptions {
  readonly vm: LiveVm;
  readonly exit: VmExit;
}

/** Cleans up after a VM that is gone; the caller holds the instance's lock. Throws `not_found`, and what its steps throw. */
export async function reapVm(
  address: InstanceAddress,
  reason: StopReason,
  context: OperationContext,
  deps: OperationDeps,
): Promise<void> {
  await runJournaled(planReap(endInput(address, deps), reason), context, deps);
}

/** hostd's own: cleans up after a VM that ended by itself; nothing when it was stopped meanwhile. */
export const reap: InstanceOperation<ReapOptions, StopReason> = {
  name: 'reap',
  isDone: ({ address, options: { vm } }, { store }) => {
    const instance = store.instance(address);
    return (
      instance?.vm?.pid !== vm.handle.record.pid || !['running', 'warm'].includes(instance?.status ?? '')
    );
  },
  prepare: async ({ address, options: { exit } }, { ports, clock }) => {
    const tail = await consoleTail(ports, address, null);
    const guest = await readGuestExit(ports, address);
    return exitReason(exit, guest, { at: clock.now(), tail });
  },
  plan: ({ address }, reason, deps) => ({ plan: planReap(endInput(address, deps), reason) }),
};
