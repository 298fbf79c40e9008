import { setTimeout as sleep } from 'node:timers/promises';
import type { HostdClient } from '@mvm/hostd-client';
import { isCodedError, type ResponseOf } from '@mvm/protocol';

/** How long hostd may hold one question back, and how long its answer may take on top. */
const WAIT_SECS = 30;
const GRACE_MS = 10_000;
/** Before it is asked again after a failure. */
const AGAIN_AFTER_MS = 1000;
/** What several changes within this time lead to is one pass. */
const TOGETHER_MS = 50;

const UNKNOWN: ReadonlySet<string> = new Set(['unimplemented', 'protocol_mismatch', 'invalid_argument']);

/**
 * Calls `onChange` when hostd says that something may have changed, until `signal` ends it. It is a hint only: what there
 * is, a pass looks up itself, and it looks on its timer as well. A hostd that has no such request is not asked again
 * before a minute: it may be another one then. Never throws.
 */
export async function watchHost(
  client: HostdClient,
  onChange: () => void,
  signal: AbortSignal,
): Promise<void> {
  let seen: string | null = null;
  const options = { signal, timeoutMs: WAIT_SECS * 1000 + GRACE_MS };
  while (!signal.aborted) {
    try {
      const answer: ResponseOf<'WaitForChange'> = await client.request(
        { type: 'WaitForChange', seen, timeout_secs: WAIT_SECS },
        options,
      );
      // The first answer only says where to begin.
      if (answer.changed && seen !== null) onChange();
      seen = answer.cursor;
      await pause(TOGETHER_MS, signal);
    } catch (error) {
      const unknown = isCodedError(error) && UNKNOWN.has(error.code);
      await pause(unknown ? 60_000 : AGAIN_AFTER_MS, signal);
    }
  }
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal, ref: false }).catch(() => {});
}
