import { type Decision, type Pass, type Status, toApiError } from '@mvm/agentd-api';
import type { HostdClient } from '@mvm/hostd-client';
import { type ClockOffset, clockJumpMs } from '@mvm/node-host';
import { CodedError, toCodedError } from '@mvm/protocol';
import type { DesiredState } from '@mvm/protocol/state';
import type { Logger } from 'pino';
import type { Activator } from '../activation/activator.js';
import type { OpenStreams } from '../api/open-streams.js';
import type { DesiredSource } from '../desired/desired-source.js';
import type { Metrics } from '../metrics/metrics.js';
import type { NetworkCheck } from '../network/network-check.js';
import type { DecisionLog } from '../state/decision-log.js';
import type { HoldStore } from '../state/hold-store.js';
import { failureKey, targetOf, toActionView } from './actions.js';
import { type ActivityRecord, type ActivityRecords, activityAfterObserving } from './activity.js';
import { type ActionOutcome, executePlan, isConnectionFailure } from './execute.js';
import { type BackoffPolicy, failuresAfterObserving, failuresMoved, recordFailure } from './failures.js';
import { observeHost } from './observe.js';
import { plan } from './plan.js';
import { requestFor } from './requests.js';
import { isConverged, isSettled, poolStatuses, type Trigger, toDecision } from './status.js';
import type { FailureRecord, ObservedHost, Plan } from './types.js';
import { nextWait, type Pacing } from './wait-time.js';
import { watchHost } from './watch-host.js';

// INVARIANTS
// - At most one pass at a time; what asks for one during a pass gets another one after it.
// - A pass acts on what it observed itself; nothing that an earlier pass observed or an event said is acted on.
// - `#answered` follows `#asked` when a pass ends that began after the asking; until then nothing is converged.

/** Decisions that status shows. */
const KEPT_DECISIONS = 100;
/** Triggers that stand for a change that no pass has looked at yet. */
const ASKED: ReadonlySet<Trigger> = new Set(['start', 'desired', 'request', 'event']);

export interface ReconcilerOptions {
  readonly client: HostdClient;
  readonly desired: DesiredSource;
  readonly holds: HoldStore;
  readonly decisions: DecisionLog;
  readonly activator: Pick<Activator, 'sync' | 'problems'>;
  /** Instances that somebody has a session in: they are not idle. */
  readonly streams: Pick<OpenStreams, 'instances'>;
  readonly metrics: Metrics;
  readonly network: NetworkCheck;
  readonly logger: Logger;
  readonly now: () => number;
  /** How `now` is set; read before each pass. */
  readonly readOffset: () => ClockOffset;
  readonly pinned: readonly string[];
  readonly critical: readonly string[];
  readonly bootGraceMs: number;
  readonly maxActions: number;
  readonly concurrency: number;
  readonly actionTimeoutMs: number;
  readonly backoff: BackoffPolicy;
  readonly pacing: Pacing;
}

/** What the last pass that could observe saw and planned. */
interface LastObservation {
  readonly revision: string | null;
  readonly observed: ObservedHost;
  readonly observedAtMs: number;
  readonly plan: Plan | null;
}

export type ReconcileReport = Pick<
  Status,
  'last_pass' | 'observed_at' | 'held' | 'converged' | 'settled' | 'pools' | 'pending' | 'problems' | 'recent'
>;

/** Keeps the host at the desired state: on a timer, on change, on request, and after what it did itself. */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #stopping = new AbortController();
  #failures: Readonly<Record<string, FailureRecord>> = {};
  #activity: ActivityRecords = {};
  /** How the wall clock is set by which the times of `#failures` are. */
  #clock: ClockOffset;
  #recent: readonly Decision[] = [];
  #lastPass: Pass | null = null;
  #observation: LastObservation | null = null;
  #passes = 0;
  #failuresInRow = 0;
  #activeInRow = 0;
  #next: Trigger | null = null;
  #asked = 0;
  #answered = 0;
  #waiters: (() => void)[] = [];
  #running: Promise<void> | null = null;
  #watching: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | null = null;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#clock = options.readOffset();
    options.desired.onChange(() => this.enqueue('desired'));
  }

  /** Begin; the first pass runs at once. */
  start(): void {
    this.enqueue('start');
    this.#watching = watchHost(this.#options.client, () => this.enqueue('event'), this.#stopping.signal);
  }

  /** Ask for a pass that begins after now. */
  enqueue(trigger: Trigger): void {
    if (this.#stopping.signal.aborted) return;
    this.#next = trigger;
    if (ASKED.has(trigger)) this.#asked += 1;
    this.#run();
  }

  /** A pass that begins after now; resolves when it has ended, whatever its outcome. */
  reconcileNow(): Promise<void> {
    if (this.#stopping.signal.aborted) return Promise.resolve();
    const ended = new Promise<void>((resolve) => this.#waiters.push(resolve));
    this.enqueue('request');
    return ended;
  }

  /** What a pass for `desired` would do on the host as it is now. Throws the errors of `HostdClient.request`. */
  async planFor(desired: DesiredState): Promise<Plan> {
    return this.#plan(desired, await this.#observe(desired));
  }

  /** How busy an instance was at the last look, and that look's time on the same clock; null when that is not known. */
  activityOf(address: string): { readonly record: ActivityRecord; readonly nowMs: number } | null {
    const record = this.#activity[address];
    const nowMs = this.#observation?.observed.activity?.monotonicMs;
    return record === undefined || nowMs === undefined ? null : { record, nowMs };
  }

  /** End: no further pass; what is under way is no longer waited for (hostd carries it out). */
  async stop(): Promise<void> {
    this.#stopping.abort(stopped());
    if (this.#timer !== null) clearTimeout(this.#timer);
    await this.#running;
    await this.#watching;
    this.#releaseWaiters(this.#waiters.splice(0));
  }

  report(): ReconcileReport {
    const { loaded } = this.#options.desired;
    const observation = this.#observation;
    const fresh =
      this.#asked === this.#answered &&
      observation !== null &&
      observation.plan !== null &&
      observation.revision === loaded?.revision &&
      this.#lastPass?.error === null;
    // Nothing is wanted yet, so there is nothing to wait for.
    const idle = loaded === null && this.#asked === this.#answered;
    return {
      last_pass: this.#lastPass,
      observed_at: observation === null ? null : new Date(observation.observedAtMs).toISOString(),
      held: observation?.plan?.pools.reduce((sum, pool) => sum + pool.held, 0) ?? 0,
      converged: fresh && observation?.plan !== null && isConverged(observation.plan),
      settled: idle || (fresh && observation?.plan !== null && isSettled(observation.plan)),
      pools:
        observation === null || observation.plan === null
          ? []
          : poolStatuses(observation.plan, observation.observed),
      pending: observation?.plan?.actions.map(toActionView) ?? [],
      problems: [...(observation?.plan?.problems ?? []), ...this.#options.activator.problems()],
      recent: [...this.#recent],
    };
  }

  #run(): void {
    if (this.#running !== null) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#running = this.#pass().then(() => {
      this.#running = null;
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#stopping.signal.aborted) return;
    if (this.#next !== null) {
      this.#run();
      return;
    }
    const result = {
      failedToObserve: this.#failuresInRow > 0,
      failuresInRow: this.#failuresInRow,
      actions: this.#lastPass?.actions ?? 0,
      activeInRow: this.#activeInRow,
      problems: this.#observation?.plan?.problems ?? [],
    };
    const { ms, trigger } = nextWait(result, this.#options.pacing, this.#options.now());
    this.#timer = setTimeout(() => this.enqueue(trigger), ms);
  }

  async #pass(): Promise<void> {
    const { now, desired, metrics, logger } = this.#options;
    this.#followClock();
    const trigger = this.#next ?? 'interval';
    this.#next = null;
    const waiters = this.#waiters.splice(0);
    this.#passes += 1;
    const number = this.#passes;
    const asked = this.#asked;
    const log = logger.child({ pass: number });
    const startedAtMs = now();
    const began = performance.now();
    const { loaded } = desired;
    const done = await this.#observePlanExecute(loaded, number, log).catch((error: unknown) => ({
      outcomes: [],
      error: toCodedError(error),
    }));
    if (this.#stopping.signal.aborted) {
      this.#releaseWaiters(waiters);
      return;
    }
    const failed = done.outcomes.filter(({ error }) => error !== null).length;
    this.#answered = asked;
    if (done.error === null && this.#failuresInRow > 0) log.info('hostd answers again');
    this.#failuresInRow = done.error === null ? 0 : this.#failuresInRow + 1;
    this.#activeInRow = done.outcomes.length > 0 ? this.#activeInRow + 1 : 0;
    this.#lastPass = {
      number,
      revision: loaded?.revision ?? null,
      trigger,
      started_at: new Date(startedAtMs).toISOString(),
      duration_ms: Math.round(performance.now() - began),
      actions: done.outcomes.length,
      failed,
      error: done.error === null ? null : toApiError(done.error),
    };
    metrics.passEnded(this.#lastPass, this.report());
    if (done.error !== null && this.#failuresInRow === 1) {
      log.warn({ trigger, error: toApiError(done.error) }, 'pass failed');
    } else if (done.outcomes.length > 0) {
      log.info({ trigger, actions: done.outcomes.length, failed }, 'pass ended');
    } else {
      log.debug({ trigger }, 'pass ended, nothing to do');
    }
    this.#releaseWaiters(waiters);
    // Part of the pass, but nothing waits for it.
    if (done.error === null) await this.#options.network.check(this.#stopping.signal, log);
  }

  async #observePlanExecute(
    loaded: DesiredSource['loaded'],
    number: number,
    log: Logger,
  ): Promise<{ outcomes: readonly ActionOutcome[]; error: CodedError | null }> {
    const { client, now, metrics, backoff, concurrency, actionTimeoutMs } = this.#options;
    const { signal } = this.#stopping;
    const observed = await this.#observe(loaded?.desired ?? null);
    const observedAtMs = now();
    metrics.observed(observed);
    this.#failures = failuresAfterObserving(this.#failures, observed.instances, now(), backoff);
    this.#activity = activityIn(
      observed,
      loaded?.desired ?? null,
      this.#activity,
      this.#options.streams.instances(),
    );
    if (loaded === null) {
      this.#observation = { revision: null, observed, observedAtMs, plan: null };
      return { outcomes: [], error: null };
    }
    // Before anything is asked for: hostd publishes no port that the host listens on.
    await this.#options.activator.sync(loaded.desired, observed);
    const planned = this.#plan(loaded.desired, observed);
    this.#observation = { revision: loaded.revision, observed, observedAtMs, plan: planned };
    const { outcomes, interrupted } = await executePlan(planned.actions, {
      client,
      revision: loaded.revision,
      concurrency,
      timeoutMs: actionTimeoutMs,
      signal,
      now,
      onOutcome: (outcome) => this.#record(outcome, number, log),
    });
    return { outcomes, error: interrupted };
  }

  /** Nothing waits longer or shorter because the wall clock was set. */
  #followClock(): void {
    const clock = this.#options.readOffset();
    const jumpMs = clockJumpMs(this.#clock, clock) ?? 0;
    this.#clock = clock;
    if (jumpMs !== 0) this.#failures = failuresMoved(this.#failures, jumpMs);
  }

  #observe(desired: DesiredState | null): Promise<ObservedHost> {
    const { client, now, bootGraceMs } = this.#options;
    return observeHost(client, desired, { nowMs: now(), bootGraceMs }, this.#stopping.signal);
  }

  #plan(desired: DesiredState, observed: ObservedHost): Plan {
    const { holds, pinned, critical, maxActions, bootGraceMs, now } = this.#options;
    const nowMs = now();
    const { activity } = observed;
    const records = activityIn(observed, desired, this.#activity, this.#options.streams.instances());
    return plan({
      desired,
      observed,
      overrides: { holds: holds.active(nowMs), pinned, critical },
      context: {
        nowMs,
        failures: this.#failures,
        bootGraceMs,
        maxActions,
        ...(activity == null ? {} : { activity: { records, monotonicMs: activity.monotonicMs } }),
      },
    });
  }

  #record(outcome: ActionOutcome, pass: number, log: Logger): void {
    const { action, error, durationMs } = outcome;
    this.#recent = [toDecision(outcome, pass), ...this.#recent].slice(0, KEPT_DECISIONS);
    this.#options.metrics.actionEnded(outcome);
    if ('instance_id' in action) {
      this.#options.decisions.add(action, {
        at: new Date(outcome.startedAtMs).toISOString(),
        source: 'planner',
        action: action.kind,
        reason: action.reason,
        rule: action.rule ?? null,
        request: requestFor(action).type,
        steps: [],
        duration_ms: Math.round(durationMs),
        error: error === null ? null : toApiError(error),
      });
    }
    const fields = { ...toActionView(action), duration_ms: Math.round(durationMs) };
    const key = failureKey(action.kind, targetOf(action));
    if (error === null) {
      // A started instance keeps its history until it has run for a while: it may crash again at once.
      if (action.kind !== 'start') {
        this.#failures = Object.fromEntries(
          Object.entries(this.#failures).filter(([other]) => other !== key),
        );
      }
      log.info(fields, 'action done');
      return;
    }
    if (!isConnectionFailure(error)) {
      const record = recordFailure(this.#failures[key], error, this.#options.now(), this.#options.backoff);
      this.#failures = { ...this.#failures, [key]: record };
    }
    log.warn({ ...fields, error: toApiError(error) }, 'action failed');
  }

  #releaseWaiters(waiters: readonly (() => void)[]): void {
    for (const release of waiters) release();
  }
}

/** The records of how busy instances are, after this look; none when hostd did not tell. */
function activityIn(
  { activity, instances }: ObservedHost,
  desired: DesiredState | null,
  before: ActivityRecords,
  inUse: ReadonlySet<string>,
): ActivityRecords {
  if (activity == null || desired === null) return {};
  return activityAfterObserving(before, activity, desired, { instances, inUse });
}

function stopped(): CodedError {
  return new CodedError({ code: 'canceled', reason: 'agentd.stopping', message: 'mvm-agentd is stopping' });
}
