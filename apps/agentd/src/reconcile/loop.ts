import { type Pass, type Status, toApiError } from '@mvm/agentd-api';
import { CodedError } from '@mvm/protocol';
import type { DesiredState } from '@mvm/protocol/state';
import type { Logger } from 'pino';
import type { Activator } from '../activation/activator.js';
import type { DesiredSource } from '../desired/desired-source.js';
import type { NetworkCheck } from '../network/network-check.js';
import { toActionView } from './actions.js';
import { type PassOptions, type PassOutcome, PassRunner } from './pass.js';
import { PassQueue } from './pass-queue.js';
import { isConverged, isSettled, poolStatuses, type Trigger } from './status.js';
import type { Plan } from './types.js';
import { nextWait, type Pacing } from './wait-time.js';
import { watchHost } from './watch-host.js';

export interface ReconcilerOptions extends PassOptions {
  readonly desired: DesiredSource;
  readonly activator: Pick<Activator, 'sync' | 'problems'>;
  readonly network: NetworkCheck;
  readonly logger: Logger;
  readonly pacing: Pacing;
}

export type ReconcileReport = Pick<
  Status,
  'last_pass' | 'observed_at' | 'held' | 'converged' | 'settled' | 'pools' | 'pending' | 'problems' | 'recent'
>;

/** Keeps the host at the desired state: on a timer, on change, on request, and after what it did itself. */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  readonly #stopping = new AbortController();
  readonly #queue: PassQueue;
  readonly #runner: PassRunner;
  #lastPass: Pass | null = null;
  #passes = 0;
  #failuresInRow = 0;
  #activeInRow = 0;
  #watching: Promise<void> = Promise.resolve();

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#runner = new PassRunner(options, this.#stopping.signal);
    this.#queue = new PassQueue({
      pass: (trigger, answered) => this.#pass(trigger, answered),
      nextWait: () => this.#nextWait(),
    });
    options.desired.onChange(() => this.#queue.enqueue('desired'));
  }

  /** Begin; the first pass runs at once. */
  start(): void {
    this.#queue.enqueue('start');
    const onChange = (): void => this.#queue.enqueue('event');
    this.#watching = watchHost(this.#options.client, onChange, this.#stopping.signal);
  }

  /** Ask for a pass that begins after now. */
  enqueue(trigger: Trigger): void {
    this.#queue.enqueue(trigger);
  }

  /** A pass that begins after now; resolves when it has ended, whatever its outcome. */
  reconcileNow(): Promise<void> {
    return this.#queue.passNow();
  }

  /** What a pass for `desired` would do on the host as it is now. Throws the errors of `HostdClient.request`. */
  planFor(desired: DesiredState): Promise<Plan> {
    return this.#runner.planFor(desired);
  }

  /** See {@link PassRunner.activityOf}. */
  activityOf(address: string): ReturnType<PassRunner['activityOf']> {
    return this.#runner.activityOf(address);
  }

  /** End: no further pass; what is under way is no longer waited for (hostd carries it out). */
  async stop(): Promise<void> {
    this.#stopping.abort(stopped());
    await this.#queue.stop();
    await this.#watching;
  }

  report(): ReconcileReport {
    const { loaded } = this.#options.desired;
    const { observation } = this.#runner;
    const fresh =
      this.#queue.isUpToDate &&
      observation !== null &&
      observation.plan !== null &&
      observation.revision === loaded?.revision &&
      this.#lastPass?.error === null;
    // Nothing is wanted yet, so there is nothing to wait for.
    const idle = loaded === null && this.#queue.isUpToDate;
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
      recent: [...this.#runner.recent],
    };
  }

  #nextWait(): ReturnType<typeof nextWait> {
    const result = {
      failedToObserve: this.#failuresInRow > 0,
      failuresInRow: this.#failuresInRow,
      actions: this.#lastPass?.actions ?? 0,
      activeInRow: this.#activeInRow,
      problems: this.#runner.observation?.plan?.problems ?? [],
    };
    return nextWait(result, this.#options.pacing, this.#options.now());
  }

  async #pass(trigger: Trigger, answered: () => void): Promise<void> {
    const { now, desired, metrics, network } = this.#options;
    this.#passes += 1;
    const number = this.#passes;
    const log = this.#options.logger.child({ pass: number });
    const startedAtMs = now();
    const began = performance.now();
    const { loaded } = desired;
    const done = await this.#runner.run(loaded, number, log);
    if (this.#stopping.signal.aborted) return;
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
      failed: done.outcomes.filter(({ error }) => error !== null).length,
      error: done.error === null ? null : toApiError(done.error),
    };
    answered();
    metrics.passEnded(this.#lastPass, this.report());
    this.#logPass(this.#lastPass, done, log);
    // Part of the pass, but nothing waits for it.
    if (done.error === null) await network.check(this.#stopping.signal, log);
  }

  #logPass({ trigger, failed }: Pass, { error, outcomes }: PassOutcome, log: Logger): void {
    if (error !== null && this.#failuresInRow === 1) {
      log.warn({ trigger, error: toApiError(error) }, 'pass failed');
    } else if (outcomes.length > 0) {
      log.info({ trigger, actions: outcomes.length, failed }, 'pass ended');
    } else {
      log.debug({ trigger }, 'pass ended, nothing to do');
    }
  }
}

function stopped(): CodedError {
  return new CodedError({ code: 'canceled', reason: 'agentd.stopping', message: 'mvm-agentd is stopping' });
}
