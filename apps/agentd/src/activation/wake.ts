import { setTimeout as pause } from 'node:timers/promises';
import type { InstanceDecision } from '@mvm/agentd-api';
import { toApiError } from '@mvm/agentd-api';
import type { HostdClient } from '@mvm/hostd-client';
import { CodedError, type InstanceView, toCodedError } from '@mvm/protocol';
import { parseIpv4 } from '@mvm/protocol/names';
import { isConnectionFailure } from '../reconcile/execute.js';
import { listInstances } from '../reconcile/observe.js';
import type { DecisionLog } from '../state/decision-log.js';
import type { HoldStore } from '../state/hold-store.js';
import { type ActivationTarget, targetName } from './targets.js';

// INVARIANTS
// - One wake per target is under way at a time, however many connections wait for it.
// - What an operator holds stopped, warm or asleep is not woken.
// - Each try begins with what hostd says then: a wake that a crash of hostd cut short is taken up where it is.

/** How long a connection waits for an instance to run. */
const WAKE_MS = 60_000;
/** How soon it is looked again at an operation under way, or for a hostd that is gone. */
const LOOK_AGAIN_MS = 100;
/** After a failure, connections are refused for so long without another try. */
const FAILED_FOR_MS = 2000;

export interface WakerOptions {
  readonly client: HostdClient;
  readonly holds: HoldStore;
  readonly decisions: DecisionLog;
  readonly now: () => number;
  readonly actionTimeoutMs: number;
  /** Asks for a pass: something changed, or nothing is there to be woken. */
  readonly enqueue: () => void;
  readonly signal: AbortSignal;
}

/** Makes an instance of a target run. */
export interface Waker {
  /** An instance that runs. Throws the reason why there is none: what hostd answered, or `activation.…`. */
  wake(target: ActivationTarget, from: string): Promise<InstanceView>;
}

interface Attempt {
  readonly result: Promise<InstanceView>;
  connections: number;
}

export function createWaker(options: WakerOptions): Waker {
  const underWay = new Map<string, Attempt>();
  const failed = new Map<string, { readonly untilMs: number; readonly error: CodedError }>();

  return {
    wake(target, from) {
      const name = targetName(target);
      const known = underWay.get(name);
      if (known !== undefined) {
        known.connections += 1;
        return known.result;
      }
      const before = failed.get(name);
      if (before !== undefined && before.untilMs > performance.now()) return Promise.reject(before.error);
      failed.delete(name);
      const attempt: { result?: Promise<InstanceView>; connections: number } = { connections: 1 };
      attempt.result = wakeOne(target, from, () => attempt.connections, options)
        .catch((error: unknown) => {
          const coded = toCodedError(error);
          // A hold is seen without a try, and may end at any time.
          if (coded.reason !== 'activation.held') {
            failed.set(name, { untilMs: performance.now() + FAILED_FOR_MS, error: coded });
          }
          throw coded;
        })
        .finally(() => underWay.delete(name));
      underWay.set(name, attempt as Attempt);
      return attempt.result;
    },
  };
}

async function wakeOne(
  target: ActivationTarget,
  from: string,
  connections: () => number,
  options: WakerOptions,
): Promise<InstanceView> {
  const { decisions, now, enqueue, signal } = options;
  const startedAtMs = now();
  const deadline = performance.now() + WAKE_MS;
  const steps: string[] = [];
  let request: 'WakeInstance' | 'ResumeInstance' | null = null;
  let subject: InstanceView | null = null;
  let asked = false;

  const record = (error: CodedError | null): void => {
    if (subject === null) return;
    const more = connections() > 1 ? ` and ${connections() - 1} more` : '';
    const decision: InstanceDecision = {
      at: new Date(startedAtMs).toISOString(),
      source: 'connection',
      action: request === 'ResumeInstance' ? 'resume' : 'wake',
      reason: `a connection to TCP port ${target.hostPort} from ${from}${more}, and no instance of ${targetName(target)} ran`,
      rule: null,
      request,
      steps,
      duration_ms: Math.round(now() - startedAtMs),
      error: error === null ? null : toApiError(error),
    };
    decisions.add(subject, decision);
  };

  try {
    for (;;) {
      signal.throwIfAborted();
      if (performance.now() > deadline) throw notInTime(target);
      const views = await candidates(target, options);
      const running = views?.find(({ status, operation }) => status === 'running' && operation !== 'sleep');
      if (running !== undefined && running.operation === null) {
        if (request !== null) {
          steps.push(`runs at ${running.net?.guest_ip ?? 'no address'}`);
          record(null);
          enqueue();
        }
        return running;
      }
      const isBusy = views?.some(({ operation }) => operation !== null) ?? true;
      const chosen = views === null || isBusy ? undefined : choose(views, target, options);
      if (chosen === undefined) {
        if (views !== null && !isBusy && !asked) {
          // The planner boots one where it may; this waits for it.
          asked = true;
          subject ??= views[0] ?? null;
          steps.push('nothing sleeps that could be woken: asked the planner for an instance');
          enqueue();
        }
        await pause(LOOK_AGAIN_MS, undefined, { signal });
        continue;
      }
      subject = chosen;
      request = chosen.status === 'warm' ? 'ResumeInstance' : 'WakeInstance';
      await ask(request, chosen, steps, options);
    }
  } catch (thrown) {
    const error = toCodedError(thrown);
    record(error);
    if (request !== null) enqueue();
    throw error;
  }
}

/** The instances that a target may lead to, by address; null when hostd cannot be asked now. */
async function candidates(
  { tenantId, poolId, instanceId }: ActivationTarget,
  { client, signal }: WakerOptions,
): Promise<InstanceView[] | null> {
  const address = ({ net }: InstanceView): number => (net === null ? 0 : parseIpv4(net.guest_ip));
  try {
    const all = await listInstances(client, { tenant_id: tenantId, pool_id: poolId }, signal);
    return all
      .filter(({ instance_id }) => (instanceId ?? instance_id) === instance_id)
      .sort((a, b) => address(a) - address(b));
  } catch (error) {
    if (isConnectionFailure(error)) return null;
    throw error;
  }
}

/** The one to wake: warm ones first, then the one that fell asleep last. Throws when an operator holds all of them. */
function choose(
  views: readonly InstanceView[],
  target: ActivationTarget,
  { holds, now }: WakerOptions,
): InstanceView | undefined {
  const suspended = views.filter(
    ({ status, stop_reason }) =>
      status === 'warm' || (status === 'sleeping' && stop_reason?.kind !== 'wake_failed'),
  );
  const free = suspended.filter((view) => {
    const kind = holds.find(view, now())?.kind;
    return kind === undefined || kind === 'manual_run';
  });
  if (free.length === 0 && suspended.length > 0) throw held(target);
  const since = ({ status_since }: InstanceView): number => Date.parse(status_since ?? '') || 0;
  return free.toSorted(
    (a, b) => Number(b.status === 'warm') - Number(a.status === 'warm') || since(b) - since(a),
  )[0];
}

/** Sends the request; what the next look settles is only noted. Throws what trying again would not change. */
async function ask(
  request: 'WakeInstance' | 'ResumeInstance',
  { tenant_id, pool_id, instance_id }: InstanceView,
  steps: string[],
  { client, signal, actionTimeoutMs }: WakerOptions,
): Promise<void> {
  const startedAtMs = performance.now();
  const took = (): string => `${Math.round(performance.now() - startedAtMs)} ms`;
  try {
    await client.request(
      { type: request, tenant_id, pool_id, instance_id },
      { signal, timeoutMs: actionTimeoutMs },
    );
    steps.push(`${request}: ${took()}`);
  } catch (thrown) {
    const error = toCodedError(thrown);
    steps.push(`${request}: ${error.reason} after ${took()}`);
    const passes =
      isConnectionFailure(error) ||
      error.code === 'aborted' ||
      error.reason === 'instance.invalid_transition';
    if (!passes || signal.aborted) throw error;
    await pause(LOOK_AGAIN_MS, undefined, { signal });
  }
}

function notInTime(target: ActivationTarget): CodedError {
  return new CodedError({
    code: 'deadline_exceeded',
    reason: 'activation.timeout',
    message: `no instance of ${targetName(target)} ran within ${WAKE_MS / 1000} s of a connection to TCP port ${target.hostPort}`,
    hint: 'mvm status and mvm why <instance> say what is in the way.',
  });
}

function held(target: ActivationTarget): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'activation.held',
    message: `a connection to TCP port ${target.hostPort} wakes nothing: an operator holds every instance of ${targetName(target)} that sleeps or is warm`,
    hint: 'Wake one manually (mvm instance wake), or wait until the hold ends.',
  });
}
