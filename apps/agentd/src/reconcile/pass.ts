import { type Decision, toApiError } from '@mvm/agentd-api';
import type { HostdClient } from '@mvm/hostd-client';
import { type ClockOffset, clockJumpMs } from '@mvm/node-host';
import { type CodedError, toCodedError } from '@mvm/protocol';
import type { DesiredState } from '@mvm/protocol/state';
import type { Logger } from 'pino';
import type { Activator } from '../activation/activator.js';
import type { OpenStreams } from '../api/open-streams.js';
import type { DesiredSource } from '../desired/desired-source.js';
import type { Metrics } from '../metrics/metrics.js';
import type { DecisionLog } from '../state/decision-log.js';
import type { HoldStore } from '../state/hold-store.js';
import { failureKey, targetOf, toActionView } from './actions.js';
import { type ActivityRecord, type ActivityRecords, activityAfterObserving } from './activity.js';
import { type ActionOutcome, executePlan, isConnectionFailure } from './execute.js';
import { type BackoffPolicy, failuresAfterObserving, failuresMoved, recordFailure } from './failures.js';
import { observeHost } from './observe.js';
import { plan } from './plan.js';
import { requestFor } from './requests.js';
import { restartsIn } from './restart.js';
import { toDecision } from './status.js';
import type { FailureRecord, ObservedHost, Plan } from './types.js';

/** Decisions that status shows. */
const KEPT_DECISIONS = 100;

export interface PassOptions {
  readonly client: HostdClient;
  readonly holds: HoldStore;
  readonly decisions: DecisionLog;
  readonly activator: Pick<Activator, 'sync'>;
  /** Instances with an open session: they are not idle. */
  readonly streams: Pick<OpenStreams, 'instances'>;
  readonly metrics: Metrics;
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
}

/** What the last pass that could observe saw and planned. */
export interface LastObservation {
  readonly revision: string | null;
  readonly observed: ObservedHost;
  readonly observedAtMs: number;
  readonly plan: Plan | null;
}

/** What a pass did, and why it could not observe or was interrupted. */
export interface PassOutcome {
  readonly outcomes: readonly ActionOutcome[];
  readonly error: CodedError | null;
}

/**
 * Runs passes: observe, plan, execute. Between them it remembers what a plan depends on beside the host: failures, and how
 * busy instances are.
 *
 * INVARIANT: a pass acts on what it observed itself; nothing that an earlier pass observed or an event said is acted on.
 */
export class PassRunner {
  readonly #options: PassOptions;
  readonly #signal: AbortSignal;
  #failures: Readonly<Record<string, FailureRecord>> = {};
  #activity: ActivityRecords = {};
  /** How the wall clock is set by which the times of `#failures` are. */
  #clock: ClockOffset;
  #recent: readonly Decision[] = [];
  #observation: LastObservation | null = null;

  constructor(options: PassOptions, signal: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
    this.#clock = options.readOffset();
  }

  get observation(): LastObservation | null {
    return this.#observation;
  }

  /** The last actions that ended, the newest first. */
  get recent(): readonly Decision[] {
    return this.#recent;
  }

  /** How busy an instance was at the last look, and that look's time on the same clock; null when that is not known. */
  activityOf(address: string): { readonly record: ActivityRecord; readonly nowMs: number } | null {
    const record = this.#activity[address];
    const nowMs = this.#observation?.observed.activity?.monotonicMs;
    return record === undefined || nowMs === undefined ? null : { record, nowMs };
  }

  /** What a pass for `desired` would do on the host as it is now. Throws the errors of `HostdClient.request`. */
  async planFor(desired: DesiredState): Promise<Plan> {
    return this.#plan(desired, await this.#observe(desired));
  }

  /** One pass. Never rejects. */
  async run(loaded: DesiredSource['loaded'], number: number, log: Logger): Promise<PassOutcome> {
    this.#followClock();
    return this.#observePlanExecute(loaded, number, log).catch((error: unknown) => ({
      outcomes: [],
      error: toCodedError(error),
    }));
  }

  async #observePlanExecute(
    loaded: DesiredSource['loaded'],
    number: number,
    log: Logger,
  ): Promise<PassOutcome> {
    const { client, now, metrics, backoff, concurrency, actionTimeoutMs } = this.#options;
    const signal = this.#signal;
    const observed = await this.#observe(loaded?.desired ?? null);
    const observedAtMs = now();
    metrics.observed(observed);
    const restartOf = restartsIn(loaded?.desired ?? null);
    this.#failures = failuresAfterObserving(this.#failures, observed.instances, now(), backoff, restartOf);
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
    return observeHost(client, desired, { nowMs: now(), bootGraceMs }, this.#signal);
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
