import { setTimeout as sleep } from 'node:timers/promises';
import type { HostPorts } from '../execute/ports.js';
import type { InstanceRecord } from '../state/records.js';
import { MAX_TIMER_MS } from './drain-guest.js';
import type { OperationContext } from './operation-context.js';

/** How a stop's shutdown ended, as the audit line tells it. */
export type ShutdownOutcome = 'shut_down' | 'timed_out' | 'overtaken' | 'failed';

/**
 * Ask a running guest to shut down, and wait until its VM has ended, the time is over, or `signal` says that no caller wants
 * to wait any longer. Never fails: what is left of the VM is ended by the stop that follows.
 */
export async function shutDownGuest(
  instance: InstanceRecord,
  options: { readonly timeoutSecs: number; readonly signal: AbortSignal },
  { logger }: OperationContext,
  { vms }: Pick<HostPorts, 'vms'>,
): Promise<ShutdownOutcome> {
  const handle = instance.net == null ? undefined : vms.get(instance.net.tap_dev)?.handle;
  if (handle === undefined) return 'failed';
  const over = new AbortController();
  const signal = AbortSignal.any([options.signal, over.signal]);
  const timeoutMs = Math.min(options.timeoutSecs * 1000, MAX_TIMER_MS);
  try {
    await handle.powerDown();
    const ended = handle.exited.then(() => 'shut_down' as const);
    const waited = sleep(timeoutMs, 'timed_out' as const, { signal }).catch(() => 'overtaken' as const);
    const outcome = await Promise.race([ended, waited]);
    if (outcome === 'shut_down') logger.info('the guest has shut down');
    else logger.warn({ outcome, timeoutMs }, 'the guest did not shut down in time; its VM is ended');
    return outcome;
  } catch (error) {
    logger.warn({ err: error }, 'the guest could not be asked to shut down; its VM is ended');
    return 'failed';
  } finally {
    over.abort();
  }
}
