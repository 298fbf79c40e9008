import { type ClockOffset, clockJumpMs, readClockOffset } from '@mvm/node-host';

/** How long the wall clock must run without being set before what it says is used to remove something. */
const STEADY_MS = 3_600_000;

/**
 * Says whether the wall clock has run for an hour without being set, as far as calls have seen. A clock that is set wrong is
 * mostly put right within that time.
 */
export function createSteadyClock(
  readOffset: () => ClockOffset = readClockOffset,
  monotonicMs: () => number = () => performance.now(),
): () => boolean {
  let offset = readOffset();
  let since = monotonicMs();
  return () => {
    const now = readOffset();
    if (clockJumpMs(offset, now) !== 0) since = monotonicMs();
    offset = now;
    return monotonicMs() - since >= STEADY_MS;
  };
}
