import { setTimeout as sleep } from 'node:timers/promises';
import { patiently } from './patience.js';

/**
 * Waits until `probe` answers something but null, undefined or false, and resolves with that answer. Rejects with `what`
 * after `timeoutMs` (default 30 s; see {@link patiently}). Looks every 5 ms.
 */
export async function until<T>(
  what: string,
  probe: () => Promise<T> | T,
  timeoutMs = 30_000,
): Promise<NonNullable<T>> {
  const limitMs = patiently(timeoutMs);
  const deadline = performance.now() + limitMs;
  for (;;) {
    const found = await probe();
    if (found !== null && found !== undefined && found !== false) return found as NonNullable<T>;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${limitMs} ms`);
    await sleep(5);
  }
}
