import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Waits until `probe` answers something but null, undefined or false, and resolves with that answer. Rejects with `what`
 * after `timeoutMs`, and as soon as `signal` is aborted. Looks every `everyMs`, 5 by default.
 */
export async function until<T>(
  what: string,
  probe: () => Promise<T> | T,
  options: { readonly timeoutMs: number; readonly everyMs?: number; readonly signal?: AbortSignal },
): Promise<NonNullable<T>> {
  const { timeoutMs, everyMs = 5, ...abort } = options;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = await probe();
    if (found !== null && found !== undefined && found !== false) return found as NonNullable<T>;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await sleep(everyMs, undefined, abort);
  }
}
