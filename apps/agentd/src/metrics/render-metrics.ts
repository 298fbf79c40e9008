import type { HostdClient } from '@mvm/hostd-client';
import type { Reconciler } from '../reconcile/loop.js';
import { listActivity, listInstances } from '../reconcile/observe.js';
import type { Metrics } from './metrics.js';

/** A scrape waits no longer for hostd. */
const ASK_WITHIN_MS = 2000;

/**
 * All metrics as text, with what hostd says of its instances now. Without an answer of hostd's within two seconds, the
 * families per pool and per instance are empty and `mvm_agentd_hostd_up` is 0. Never throws.
 */
export async function renderMetrics(options: {
  readonly client: HostdClient;
  readonly reconciler: Pick<Reconciler, 'report'>;
  readonly metrics: Metrics;
}): Promise<{ text: string; contentType: string }> {
  const { client, reconciler, metrics } = options;
  const signal = AbortSignal.timeout(ASK_WITHIN_MS);
  try {
    const [instances, sample] = await Promise.all([
      listInstances(client, {}, signal),
      listActivity(client, signal),
    ]);
    metrics.hostSeen({ instances, activity: sample?.activity ?? null, pools: reconciler.report().pools });
  } catch {
    metrics.hostSeen(null);
  }
  return metrics.render();
}
