import { until as waitFor } from '@mvm/node-host';
import { patiently } from './patience.js';

/**
 * `until` of @mvm/node-host, with a limit (default 30 s) that suits the machine that the test runs on; see {@link patiently}.
 */
export function until<T>(
  what: string,
  probe: () => Promise<T> | T,
  timeoutMs = 30_000,
): Promise<NonNullable<T>> {
  return waitFor(what, probe, { timeoutMs: patiently(timeoutMs) });
}
