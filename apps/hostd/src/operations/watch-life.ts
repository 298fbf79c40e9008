import { stat } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import type { SignOfLife } from '../execute/guest-life.js';
import type { HostPorts } from '../execute/ports.js';
import type { LiveVm } from '../execute/vm-registry.js';
import type { AuditSink } from '../state/audit-log.js';
import { readTapCounters } from '../system/tap-counters.js';
import type { ChangeFeed } from './change-feed.js';
import type { Clock, OperationContext } from './operation-context.js';

/** An emulated guest on a busy host may take that long to its first line. */
const NOTICED_WITHIN_MS = 60_000;
const LOOK_AGAIN_MS = 500;

export interface WatchLifeDeps {
  readonly ports: Pick<HostPorts, 'vms' | 'store'>;
  readonly audit: AuditSink;
  readonly clock: Clock;
  /** A context for what hostd does by itself. */
  readonly systemContext: () => OperationContext;
  readonly changes: Pick<ChangeFeed, 'note'>;
  /** Ends the watches. */
  readonly signal: AbortSignal;
  /** 60 000 unless told. */
  readonly noticedWithinMs?: number;
  /** 500 unless told. */
  readonly lookAgainMs?: number;
}

/**
 * Look for a sign of each guest's life after its VM was let run, and report the ones that give none in time: there are hosts
 * whose KVM answers every call and runs no instruction. A reported VM goes on, and a later sign takes the report back.
 */
export function watchLife(deps: WatchLifeDeps): void {
  deps.ports.vms.onAdd((vm) => {
    watch(vm, deps).catch((error: unknown) => {
      if (!deps.signal.aborted)
        deps.systemContext().logger.error({ err: error }, 'a guest could not be watched for a sign of life');
    });
  });
}

/** What a VM's guest had done when the watch began. */
interface Mark {
  readonly consoleBytes: number;
  readonly sentPackets: number;
  readonly hadAgent: boolean;
}

async function watch(vm: LiveVm, deps: WatchLifeDeps): Promise<void> {
  const { vms, store } = deps.ports;
  const { vmId, consolePath } = vm.handle.record.spec;
  const mark: Mark = {
    consoleBytes: await sizeOf(consolePath),
    // Each start and wake makes a new TAP.
    sentPackets: vm.isAdopted ? 0 : await sentPackets(vmId),
    hadAgent: !vm.handle.asksGuestForAgent && (await vm.handle.hasAgent().catch(() => false)),
  };
  let runningMs = 0;
  let isReported = false;
  for (;;) {
    const began = performance.now();
    // Less often once it is reported.
    const pauseMs = (deps.lookAgainMs ?? LOOK_AGAIN_MS) * (isReported ? 10 : 1);
    await setTimeout(pauseMs, null, { ref: false, signal: deps.signal }).catch(() => {});
    const isOver = (): boolean => deps.signal.aborted || vms.get(vmId) !== vm;
    if (isOver()) return;
    if (store.instance(vm.address)?.status !== 'running') continue;
    const sign = await findSign(vm, mark);
    if (isOver()) return;
    if (sign !== null) vm.life.note(sign);
    if (vm.life.sign !== null && vm.life.sign !== 'none') {
      if (isReported) reportLate(vm, deps);
      return;
    }
    runningMs += performance.now() - began;
    if (isReported || runningMs < (deps.noticedWithinMs ?? NOTICED_WITHIN_MS)) continue;
    isReported = true;
    vm.life.note('none');
    await reportSilence(vm, runningMs, deps);
  }
}

async function findSign(vm: LiveVm, mark: Mark): Promise<SignOfLife | null> {
  const { vmId, consolePath } = vm.handle.record.spec;
  // A log that was cut to its limit was written as well.
  if ((await sizeOf(consolePath)) !== mark.consoleBytes) return 'console';
  if ((await sentPackets(vmId)) > mark.sentPackets) return 'network';
  if (!mark.hadAgent && (await vm.handle.hasAgent().catch(() => false))) return 'agent';
  return null;
}

async function sizeOf(path: string): Promise<number> {
  return await stat(path).then(
    ({ size }) => size,
    () => 0,
  );
}

async function sentPackets(tap: string): Promise<number> {
  return (await readTapCounters()).get(tap)?.txPackets ?? 0;
}

async function reportSilence(
  { address, handle }: LiveVm,
  runningMs: number,
  { audit, clock, systemContext, changes }: WatchLifeDeps,
): Promise<void> {
  const { opId, logger } = systemContext();
  const { tenant_id: tenant, pool_id: pool, instance_id: instance } = address;
  const seconds = Math.round(runningMs / 1000);
  const { vmm, vmmVersion, spec } = handle.record;
  logger.warn(
    { tenant, pool, instance, seconds, vmm, version: vmmVersion, accelerator: spec.accelerator },
    'a VM runs, and its guest has given no sign of life',
  );
  changes.note();
  const entry = {
    ...{ operation: 'guest_silent', ...address, peer: null, op_id: opId, at: clock.now() },
    ...{
      result: 'error' as const,
      code: null,
      reason: 'no_sign_of_life',
      duration_ms: Math.round(runningMs),
    },
    message: `${vmm} says that it runs, and within ${seconds} s its guest wrote nothing, sent nothing, and had no agent`,
  };
  await audit.append(entry).catch((error: unknown) => {
    logger.error({ tenant, err: error }, 'an audit entry could not be written');
  });
}

function reportLate({ address, life }: LiveVm, { systemContext, changes }: WatchLifeDeps): void {
  const { tenant_id: tenant, pool_id: pool, instance_id: instance } = address;
  systemContext().logger.info(
    { tenant, pool, instance, sign: life.sign },
    'a guest that was silent gives a sign of life',
  );
  changes.note();
}
