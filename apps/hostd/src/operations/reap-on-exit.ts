import { setTimeout } from 'node:timers/promises';
import type { SpaceReserve } from '@mvm/node-host';
import type { HostPorts } from '../execute/ports.js';
import type { LiveVm } from '../execute/vm-registry.js';
import { withSpaceReserve } from '../state/atomic-file.js';
import type { AuditSink } from '../state/audit-log.js';
import type { VmExit } from '../vmm/vmm.js';
import { exitEntry } from './audit-exit.js';
import type { ChangeFeed } from './change-feed.js';
import type { Clock, OperationContext } from './operation-context.js';
import { reap } from './reap.js';
import type { OperationRunner } from './runner.js';

/** Before each further time that cleaning up is tried; the last one again and again. */
const AGAIN_AFTER_MS = [1_000, 2_000, 5_000, 10_000] as const;

/** Waits before trial number `count` (the second is 1). False when `signal` ends the waiting. */
export async function pauseBefore(count: number, signal: AbortSignal): Promise<boolean> {
  const ms = AGAIN_AFTER_MS[Math.min(count, AGAIN_AFTER_MS.length) - 1];
  return await setTimeout(ms, true, { ref: false, signal }).catch(() => false);
}

export interface ReapOnExitDeps {
  readonly reserve: SpaceReserve;
  readonly ports: Pick<HostPorts, 'vms'>;
  readonly runner: Pick<OperationRunner, 'run'>;
  readonly audit: AuditSink;
  readonly clock: Clock;
  /** A context for what hostd does by itself. */
  readonly systemContext: () => OperationContext;
  /** Told when an instance is stopped for it. */
  readonly changes: Pick<ChangeFeed, 'note'>;
  /** Ends the trials. */
  readonly signal: AbortSignal;
}

/**
 * Clean up after every VM that ends by itself, with a line in its tenant's audit log. What fails, for want of space or of
 * processes, is tried again until it is done: nothing else would notice that the VM is gone.
 */
export function reapOnExit(deps: ReapOnExitDeps): void {
  deps.ports.vms.onExit(
    (vm, exit) => void withSpaceReserve(deps.reserve, () => reapUntilDone(vm, exit, deps)),
  );
}

async function reapUntilDone(
  vm: LiveVm,
  exit: VmExit,
  { runner, audit, clock, systemContext, signal, changes }: ReapOnExitDeps,
): Promise<void> {
  const context = systemContext();
  const { tenant_id: tenant, pool_id: pool, instance_id: instance } = vm.address;
  const logger = context.logger.child({ tenant, pool, instance });
  const began = performance.now();
  let isClean = false;
  for (let trial = 0; trial === 0 || (await pauseBefore(trial, signal)); trial += 1) {
    try {
      if (!isClean) {
        const reaped = await runner.run(reap, vm.address, { vm, exit }, { ...context, logger });
        // What an earlier trial has begun, whoever came next has finished.
        if (!reaped && trial === 0) return;
        isClean = true;
        changes.note();
        logger.warn({ ...exit }, 'a VM ended by itself; it is cleaned up and recorded as stopped');
      }
      const how = {
        op_id: context.opId,
        at: clock.now(),
        reason: exit.signal ?? (exit.exitCode === null ? null : `exit ${exit.exitCode}`),
        message: null,
        result: exit.exitCode === 0 ? ('ok' as const) : ('error' as const),
        duration_ms: Math.round(performance.now() - began),
      };
      await audit.append(exitEntry(vm.address, how));
      return;
    } catch (error) {
      logger.error({ err: error }, 'cleaning up after a VM failed; hostd will retry');
    }
  }
}
