import { adoptVm, letRun } from '../execute/live-vm.js';
import { addressText, type InstanceAddress } from '../state/layout.js';
import { auditLoss } from './audit-exit.js';
import { consoleTail } from './console-tail.js';
import { readGuestExit } from './guest-exit.js';
import type { OperationDeps } from './operation.js';
import type { OperationContext } from './operation-context.js';
import { reapVm } from './reap.js';
import { clearResumePending } from './resume-pending.js';
import { exitReason, lostReason } from './stop-reasons.js';

/** What became of the VM that a record names; `none`: it names none. */
export type FoundVm = 'adopted' | 'lost' | 'none';

/**
 * Watch the VM that an instance's record names and bring it into the recorded state, or clean up after it when it is gone;
 * the caller holds the instance's lock and has settled its journal. Nothing when the VM is watched. Throws what the VMM's
 * `adopt` does, with everything as it was: the VM may be alive, and is only too busy to answer.
 */
export async function adoptOrReap(
  address: InstanceAddress,
  context: OperationContext,
  deps: OperationDeps,
): Promise<FoundVm> {
  const { ports, store, clock } = deps;
  const instance = store.instance(address);
  if (instance === undefined) return 'none';
  if (instance.status !== 'running') await clearResumePending(address, ports.layout);
  if (!['running', 'warm'].includes(instance.status)) return 'none';
  if (instance.vm != null && ports.vms.get(instance.vm.spec.vmId) !== undefined) return 'adopted';
  const handle = instance.vm == null ? null : await adoptVm(address, instance.vm, ports);
  if (handle === null) {
    const pid = instance.firecracker_pid;
    const message = `the VMM${pid == null ? '' : ` (pid ${pid})`} was gone when hostd started`;
    const circumstances = { at: clock.now(), tail: await consoleTail(ports, address, null) };
    // Its guest may have ended by itself, and said so, while no hostd was there to see it.
    const guest = await readGuestExit(ports, address);
    const reason =
      guest === undefined
        ? lostReason(message, circumstances)
        : exitReason({ exitCode: null, signal: null }, guest, circumstances);
    await reapVm(address, reason, context, deps);
    await clearResumePending(address, ports.layout);
    await auditLoss(address, message, context, deps);
    return 'lost';
  }
  try {
    // An operation that was cut short, or undone without knowing the VM, may have left it otherwise.
    if (instance.status === 'running') await letRun(handle);
    else await handle.pause();
  } catch (error) {
    // Not watched, so that whoever tries again brings it there.
    ports.vms.remove(handle.record.spec.vmId);
    throw error;
  }
  context.logger.info({ instance: addressText(address), pid: handle.record.pid }, 'adopted a running VM');
  return 'adopted';
}
