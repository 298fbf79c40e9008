import { setTimeout as sleep } from 'node:timers/promises';
import type { HostPorts } from '../execute/ports.js';
import type { InstanceAddress } from '../state/layout.js';
import { addressText } from '../state/layout.js';
import type { OperationContext } from './operation-context.js';

/**
 * How long a request that ends a VM waits for the operation that is under way on its instance, before it ends the VMM under
 * it: a VMM that does not answer would keep that operation, and with it the instance, for minutes.
 */
const HUNG_AFTER_MS = 10_000;

/** A wait for an instance's lock. */
export interface HungWatch {
  /** The lock is ours: resolves once nothing is ended any more. Whether the VMM was. Never fails. */
  reached(): Promise<boolean>;
}

/**
 * End a VM's VMM by SIGKILL to its cgroup and its process, which need nothing of the VMM. That it has ended is noticed and
 * recorded as of any that dies. Throws `vmm.unkillable` and `cgroup.still_busy`.
 */
export async function endVmm(
  vmId: string,
  { cgroups, processes }: Pick<HostPorts, 'cgroups' | 'processes'>,
): Promise<void> {
  await cgroups.kill(vmId);
  await processes.kill(vmId);
}

/**
 * End the VMM of an instance unless `reached` is called within `hungAfterMs`. The operation under way then fails, and
 * cleans up as after any VMM that dies.
 */
export function endVmmUnlessReached(
  address: InstanceAddress,
  { logger }: OperationContext,
  { store, cgroups, processes }: Pick<HostPorts, 'store' | 'cgroups' | 'processes'>,
  hungAfterMs = HUNG_AFTER_MS,
): HungWatch {
  const over = new AbortController();
  let ended = false;
  const end = async (): Promise<void> => {
    const isHung = await sleep(hungAfterMs, true, { signal: over.signal, ref: false }).catch(() => false);
    if (!isHung) return;
    const vmId = store.instance(address)?.net?.tap_dev;
    if (vmId === undefined) return;
    ended = true;
    logger.warn(
      { instance: addressText(address), waitedMs: hungAfterMs },
      'the operation under way does not end; its VMM is ended',
    );
    await endVmm(vmId, { cgroups, processes });
  };
  const settled = end().catch((error: unknown) => {
    logger.error({ err: error }, 'a VMM in the way could not be ended');
  });
  return {
    reached: async () => {
      over.abort();
      // What is ended by its VM's id must not be a VM that is started next.
      await settled;
      return ended;
    },
  };
}
