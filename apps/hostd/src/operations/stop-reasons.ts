import type { GuestExit, StopReason } from '@mvm/protocol';
import type { VmExit } from '../vmm/vmm.js';
import { guestExitText } from './guest-exit.js';

/** Longest message in a record's stop reason. */
const MAX_MESSAGE_CHARS = 1000;

/** When it was noticed, and what the console said last. */
interface Circumstances {
  readonly at: string;
  readonly tail: string;
}

function reason(kind: StopReason['kind'], message: string, { at, tail }: Circumstances): StopReason {
  return {
    kind,
    message: message.slice(0, MAX_MESSAGE_CHARS),
    exit_code: null,
    signal: null,
    console_tail: tail,
    at,
  };
}

/** Of a VM that is gone without a trace. Pure. */
export function lostReason(message: string, circumstances: Circumstances): StopReason {
  return reason('lost', message, circumstances);
}

/** Of an instance whose start did not come to anything. Pure. */
export function startFailedReason(message: string, circumstances: Circumstances): StopReason {
  return reason('start_failed', message, circumstances);
}

/** Of an instance that sleeps on, because its snapshot could not be used. Pure. */
export function wakeFailedReason(message: string, circumstances: Circumstances): StopReason {
  return reason('wake_failed', message, circumstances);
}

/** Of a VM whose VMM ended by itself, and how its guest has, where that is known. Pure. */
export function exitReason(
  { exitCode, signal }: VmExit,
  guest: GuestExit | undefined,
  circumstances: Circumstances,
): StopReason {
  const how =
    signal !== null
      ? `was killed by ${signal}`
      : exitCode !== null
        ? `ended with exit code ${exitCode}`
        : 'ended';
  const message = guest === undefined ? `the VMM ${how}` : guestExitText(guest);
  return {
    ...reason('exited', message, circumstances),
    ...{ exit_code: exitCode, signal },
    ...(guest === undefined ? {} : { guest }),
  };
}
