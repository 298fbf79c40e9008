import { constants } from 'node:os';
import type { GuestExit } from '@mvm/protocol';
import type { HostPorts } from '../execute/ports.js';
import type { InstanceAddress } from '../state/layout.js';

/** Room for a kernel's last words: a panic's trace follows its line. */
const TAIL_BYTES = 16_384;

/** What tells one boot of a guest from the next, and how it has ended. Source: docs/images.md, "What the guest is like". */
const LINES =
  /mvm-guest (?:starting|ready |exited (?:signal=(?<signal>\d{1,2}) )?code=(?<code>\d{1,3})(?: (?<why>oom|unhealthy)=1)?)|(?<panic>Kernel panic - not syncing)/g;

/**
 * How the guest ended, as the last lines of its console tell; undefined when they do not. A guest can write what it likes:
 * nothing is decided by this but whether its own instance is started again. Pure.
 */
export function guestExitOf(console: string): GuestExit | undefined {
  const last = [...console.matchAll(LINES)].at(-1)?.groups;
  if (last === undefined) return undefined;
  const { panic, signal: signalText, code: codeText, why } = last;
  if (panic !== undefined) return { reason: 'panicked', exit_code: null, signal: null };
  const exit_code = Number(codeText ?? Number.NaN);
  const signal = signalText === undefined ? null : Number(signalText);
  if (!(exit_code <= 255) || (signal !== null && !(signal >= 1 && signal <= 64))) return undefined;
  const reason = signal === null ? 'exited' : 'signaled';
  return {
    reason: why === 'oom' ? 'oom_killed' : why === 'unhealthy' ? 'unhealthy' : reason,
    exit_code,
    signal,
  };
}

/** {@link guestExitOf} the instance's console; undefined when there is none. */
export async function readGuestExit(
  ports: Pick<HostPorts, 'readLog' | 'layout'>,
  address: InstanceAddress,
): Promise<GuestExit | undefined> {
  try {
    const { data } = await ports.readLog({ path: ports.layout.consoleLog(address), maxBytes: TAIL_BYTES });
    return guestExitOf(Buffer.from(data).toString('latin1'));
  } catch {
    // Nothing is known then, and what wanted to know goes on.
    return undefined;
  }
}

/** As a sentence's end: `the main process exited with code 3`. Pure. */
export function guestExitText({ reason, exit_code, signal }: GuestExit): string {
  const how = signal === null ? `exited with code ${exit_code}` : `was ended by ${signalName(signal)}`;
  switch (reason) {
    case 'panicked':
      return "the guest's kernel panicked";
    case 'oom_killed':
      return `the guest ran out of memory; its main process ${how}`;
    case 'unhealthy':
      return `the guest was unhealthy; its main process ${how}`;
    default:
      return `the main process ${how}`;
  }
}

function signalName(number: number): string {
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  return found === undefined ? `signal ${number}` : found[0];
}
