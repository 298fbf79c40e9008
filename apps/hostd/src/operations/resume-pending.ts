import { access, rm, writeFile } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { HostPorts } from '../execute/ports.js';
import { wakeGuest } from '../execute/steps/suspend.js';
import { fromFileError } from '../state/fs-error.js';
import { addressText, type InstanceAddress, type Layout } from '../state/layout.js';
import type { KeyedMutex } from '../system/keyed-mutex.js';

/** Before each time that a guest is told that it goes on. Together longer than the drain that a pool has by default. */
const WAKE_PAUSES_MS = [0, 5_000, 15_000, 45_000];

/**
 * A guest that was asked to get ready for a sleep, or was paused, must hear that it goes on when nothing comes of it,
 * whatever ends hostd in between. A file beside the instance's record says so; it need not outlive a loss of power, for no
 * guest does. Throws what the file system does, as `CodedError`.
 */
export async function markResumePending(address: InstanceAddress, layout: Layout): Promise<void> {
  await writeFile(layout.wakeOwed(address), '', { mode: 0o600 }).catch((error: unknown) => {
    throw fromFileError(error, `cannot write ${layout.wakeOwed(address)}`);
  });
}

/** The guest has heard it, or there is none that should. Never fails: one file too many has it told once too often. */
export async function clearResumePending(address: InstanceAddress, layout: Layout): Promise<void> {
  await rm(layout.wakeOwed(address), { force: true }).catch(() => {});
}

/** Whether a guest is still to be told. */
async function isWakeOwed(address: InstanceAddress, layout: Layout): Promise<boolean> {
  return await access(layout.wakeOwed(address)).then(
    () => true,
    () => false,
  );
}

/**
 * Tell a guest that goes on, when it is owed that; the caller holds the instance's lock. Resolves to whether nothing is
 * left to do here: one whose VM is not known yet is told when that is adopted. Takes as long as `wakeGuest` at most; never
 * fails.
 */
async function tellOwedWake(address: InstanceAddress, ports: HostPorts, logger: Logger): Promise<boolean> {
  const { layout, store, vms } = ports;
  if (!(await isWakeOwed(address, layout))) return true;
  const instance = store.instance(address);
  if (instance?.status === 'running') {
    const vmId = instance.net?.tap_dev ?? '';
    if (vms.get(vmId) === undefined) return true;
    logger.info({ instance: addressText(address) }, 'the guest hears that it goes on');
    try {
      if (!(await wakeGuest(address, vmId, ports))) return false;
    } catch (error) {
      logger.warn({ instance: addressText(address), err: error }, 'the guest cannot be told that it goes on');
      return false;
    }
  }
  await clearResumePending(address, layout);
  return true;
}

/**
 * Tell a guest that goes on, when it is owed that: a few times, until it answers. The instance's lock is held while it is
 * told, not while it is given time: it may still be getting ready. Never fails.
 */
export async function tellOwedWakeLater(
  address: InstanceAddress,
  {
    ports,
    mutex,
    logger,
  }: { readonly ports: HostPorts; readonly mutex: KeyedMutex; readonly logger: Logger },
): Promise<void> {
  for (const pauseMs of WAKE_PAUSES_MS) {
    await setTimeout(pauseMs, undefined, { ref: false });
    if (await mutex.run(addressText(address), () => tellOwedWake(address, ports, logger))) return;
  }
  await clearResumePending(address, ports.layout);
}
