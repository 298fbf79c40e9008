import { randomBytes } from 'node:crypto';
import { CodedError } from '@mvm/protocol';

// INVARIANT: a waiter learns of every `note` that came after the cursor which it has seen, unless it stops waiting: a note
// between two waits is reported at once by the second.

/** Waits at the same time. */
const MAX_WAITERS = 64;

/** Tells that something may have changed on the host, never what. */
export interface ChangeFeed {
  /** Something may have changed. */
  note(): void;
  /**
   * Resolves when there was a note since `seen`, at once when `seen` is none of this feed's; with `changed` false after
   * `timeoutMs` and when the feed ends. Refused, `resource_exhausted` with reason `changes.too_many`, while 64 wait.
   */
  wait(
    seen: string | null,
    timeoutMs: number,
  ): Promise<{ readonly cursor: string; readonly changed: boolean }>;
}

/** A feed with cursors of its own; `signal` ends what waits. */
export function createChangeFeed(signal: AbortSignal): ChangeFeed {
  const feed = randomBytes(8).toString('hex');
  let notes = 0;
  const waiters = new Set<() => void>();
  const cursor = (): string => `${feed}-${notes}`;
  const wakeAll = (): void => {
    for (const wake of [...waiters]) wake();
  };
  signal.addEventListener('abort', wakeAll);
  return {
    note: () => {
      notes += 1;
      wakeAll();
    },
    wait: async (seen, timeoutMs) => {
      if (seen === cursor() && timeoutMs > 0 && !signal.aborted) {
        if (waiters.size >= MAX_WAITERS) throw tooMany();
        await new Promise<void>((resolve) => {
          const timer = setTimeout(done, timeoutMs);
          waiters.add(done);
          function done(): void {
            clearTimeout(timer);
            waiters.delete(done);
            resolve();
          }
        });
      }
      return { cursor: cursor(), changed: seen !== cursor() };
    },
  };
}

function tooMany(): CodedError {
  return new CodedError({
    code: 'resource_exhausted',
    reason: 'changes.too_many',
    message: `${MAX_WAITERS} requests wait for changes already`,
    hint: 'Wait with one request per client.',
  });
}
