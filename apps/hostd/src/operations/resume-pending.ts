import { access, rm, writeFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import type { Logger } from 'pino';
import { tellGuestResumed } from '../execute/live-vm.js';
import { fromFileError } from '../state/fs-error.js';
import { addressText, type InstanceAddress, type Layout } from '../state/layout.js';
import type { OperationDeps } from './operation.js';

/** Before each notification of a guest that it was resumed. Together longer than the drain that a pool has by default. */
const PAUSES_MS = [0, 5_000, 15_000, 45_000];

/**
 * A guest that was asked to get ready for a sleep, or was paused, must hear that it goes on when nothing comes of it,
 * whatever ends hostd in between. A file beside the instance's record says so; it need not outlive a loss of power, for no
 * guest does. Throws what the file system does, as `CodedError`.
 */
export async function markResumePending(address: InstanceAddress, layout: Layout): Promise<void> {
  await writeFile(layout.resumePending(address), '', { mode: 0o600 }).catch((error: unknown) => {
    throw fromFileError(error, `cannot write ${layout.resumePending(address)}`);
  });
}

/** The guest has heard it, or there is none that should. Never fails: one file too many has it told once too often. */
export async function clearResumePending(address: InstanceAddress, layout: Layout): Promise<void> {
  await rm(layout.resumePending(address), { force: true }).catch(() => {});
}

async function isResumePending(address: InstanceAddress, layout: Layout): Promise<boolean> {
  return await access(layout.resumePending(address)).then(
    () => true,
    () => false,
  );
}

/**
 * Tell a guest that goes on, when it is still to hear that; the caller holds the instance's lock. Resolves to whether
 * nothing is left to do here: one whose VM is not known yet is notified when that is adopted. Takes as long as
 * `tellGuestResumed` at most; never fails.
 */
async function tellIfPending(
  address: InstanceAddress,
  logger: Logger,
  { ports, store }: Pick<OperationDeps, 'ports' | 'store'>,
): Promise<boolean> {
  const { layout, vms } = ports;
  if (!(await isResumePending(address, layout))) return true;
  const instance = store.instance(address);
  if (instance?.status === 'running') {
    const vmId = instance.net?.tap_dev ?? '';
    if (vms.get(vmId) === undefined) return true;
    logger.info({ instance: addressText(address) }, 'notifying the guest that it was resumed');
    try {
      if (!(await tellGuestResumed(address, vmId, ports))) return false;
    } catch (error) {
      logger.warn(
        { instance: addressText(address), err: error },
        'the guest could not be notified that it was resumed',
      );
      return false;
    }
  }
  await clearResumePending(address, layout);
  return true;
}

/**
 * Tell a guest that goes on without the sleep or the pause that was begun, if it is still to hear that: a few times, until
 * it answers. The instance's lock is held while it is notified, not between attempts: it may still be getting ready.
 * Never fails, and no caller needs to wait for it.
 */
export async function notifyGuestResumed(
  address: InstanceAddress,
  logger: Logger,
  deps: Pick<OperationDeps, 'ports' | 'store' | 'mutex'>,
): Promise<void> {
  for (const pauseMs of PAUSES_MS) {
    await setTimeout(pauseMs, undefined, { ref: false });
    if (await deps.mutex.run(addressText(address), () => tellIfPending(address, logger, deps))) return;
  }
  await clearResumePending(address, deps.ports.layout);
}
