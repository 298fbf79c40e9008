import { randomBytes } from 'node:crypto';
import { isCodedError } from '@mvm/protocol';
import { cgroupLimits } from '../cgroup/limits.js';
import type { InstanceAddress } from '../state/layout.js';
import { isAlive } from '../vmm/process/process-identity.js';
import type { VmHandle, VmRecord } from '../vmm/vmm.js';
import type { HostPorts } from './ports.js';

/** For all notifications of a woken guest; one that is slow, or emulated beside many others, may need seconds. */
const WAKE_TIMEOUT_MS = 5_000;
const ENTROPY_BYTES = 64;

/**
 * The VM of a record, found again and watched; null when it is gone. It is put into its cgroup once more: somebody may
 * have moved it out, or removed the cgroup, and a VM without limits must not go on.
 */
export async function adoptVm(
  address: InstanceAddress,
  record: VmRecord,
  ports: HostPorts,
): Promise<VmHandle | null> {
  const handle = await ports.vmm.adopt(record);
  if (handle === null) return null;
  const { vmId, vcpus, memMib } = record.spec;
  const overheadMib = ports.vmm.memoryOverheadMib(record.spec, record.vmm);
  try {
    await ports.cgroups.create(vmId, cgroupLimits({ vcpus, mem_mib: memMib }, overheadMib));
    await ports.cgroups.attach(vmId, record.pid);
  } catch (error) {
    handle.detach();
    // A process that has just ended is in no cgroup any more.
    if (!(await isAlive(record))) return null;
    throw error;
  }
  ports.vms.add({ address, handle, isAdopted: true });
  return handle;
}

/** End the VM, however it is known: by its handle, its cgroup, or the socket directory in its arguments. */
export async function killVm(vmId: string, { vms, cgroups, processes }: HostPorts): Promise<void> {
  const live = vms.get(vmId);
  if (live === undefined) {
    await cgroups.kill(vmId);
    await processes.kill(vmId);
    return;
  }
  await live.handle.kill();
  await cgroups.kill(vmId);
  vms.remove(vmId);
}

/** Let a VM run. Throws `vmm.not_resumed` when the VMM refuses. */
export async function letRun(handle: VmHandle): Promise<void> {
  const resumed = await handle.resume();
  if (resumed.outcome === 'refused') throw resumed.error;
}

/**
 * Let a VM run, or pause it, to undo a step. Nothing when it is not known yet, after a crash: it is brought into its
 * recorded state when it is adopted; nor when it has ended: then it neither runs nor waits, and its end is reaped.
 */
export async function setRunState(
  vmId: string,
  what: 'resume' | 'pause',
  { vms }: Pick<HostPorts, 'vms'>,
): Promise<void> {
  try {
    const handle = vms.get(vmId)?.handle;
    if (what === 'pause') await handle?.pause();
    else if (handle !== undefined) await letRun(handle);
  } catch (error) {
    if (!isCodedError(error) || error.reason !== 'vmm.gone') throw error;
  }
}

/** The handle of a VM that is watched; its absence is a bug, or the VM's end just now. */
export function requireLive(vmId: string, { vms }: HostPorts): VmHandle {
  const live = vms.get(vmId);
  if (live === undefined) throw new Error(`VM ${vmId} is not launched`);
  return live.handle;
}

/**
 * Tell a guest that it runs again: the time, entropy, and `Wake`. What the guest answers, or that it does not, is logged
 * and changes nothing. Entropy comes first, so that nothing after it draws on the numbers of before. Resolves to false
 * when there is an agent that did not answer `Wake` in time.
 */
export async function tellGuestResumed(
  address: InstanceAddress,
  vmId: string,
  ports: HostPorts,
): Promise<boolean> {
  const handle = requireLive(vmId, ports);
  if (!(await handle.hasAgent())) return true;
  const channel = ports.vms.get(vmId)?.agent;
  if (channel === undefined) throw new Error(`VM ${vmId} is not watched`);
  const tell = async (what: string, told: () => Promise<unknown>): Promise<boolean> => {
    try {
      await told();
      return true;
    } catch (error) {
      ports.logger.warn({ ...address, request: what, err: error }, 'the guest agent was not notified');
      return false;
    }
  };
  const deadline = performance.now() + WAKE_TIMEOUT_MS;
  const left = (): { timeoutMs: number } => ({
    timeoutMs: Math.max(1, Math.ceil(deadline - performance.now())),
  });
  let told = false;
  if (await tell('Sync', () => channel.open(left()))) {
    ports.vms.get(vmId)?.life.note('agent');
    // The time is read only now that the guest listens.
    const unix_time_ms = Date.now();
    const entropy_base64 = randomBytes(ENTROPY_BYTES).toString('base64');
    await tell('Resync', () => channel.ask({ type: 'Resync', unix_time_ms, entropy_base64 }, left()));
    told = await tell('Wake', () => channel.ask({ type: 'Wake' }, left()));
  }
  channel.rest();
  return told;
}
