import type { Problem } from '@mvm/agentd-api';
import { failureKey, targetOf } from './actions.js';
import { isTerminal } from './failures.js';
import type { Action, ActionKind, FailureRecord, PlanContext, PoolPlan } from './types.js';

/** What a problem is about. */
export interface Subject {
  readonly tenant_id: string;
  readonly pool_id?: string;
  readonly instance_id?: string;
}

/** A quota or an image that is in the way; `passing`: only until operations under way have ended. */
export interface Obstacle {
  readonly reason: string;
  readonly message: string;
  readonly passing: boolean;
}

/** An action with its place in line: lower `urgency` first, then lower `turn`, then the order in which it was added. */
export interface DraftedAction {
  readonly action: Action;
  readonly urgency: number;
  readonly turn: number;
}

/**
 * A plan while it is being made. INVARIANT: no action is added whose kind and target failed and whose next attempt is
 * not due; instead there is a problem that says so.
 */
export class PlanDraft {
  readonly context: PlanContext;
  readonly actions: DraftedAction[] = [];
  readonly problems: Problem[] = [];
  readonly pools: PoolPlan[] = [];

  constructor(context: PlanContext) {
    this.context = context;
  }

  /** Add an action unless it has to wait after failures; false, with a problem added, when it has to. */
  propose(action: Action, place: { urgency: number; turn?: number }): boolean {
    const record = this.waitingFailure(action.kind, targetOf(action));
    if (record !== null) {
      this.reportFailure(action, record);
      return false;
    }
    this.actions.push({ action, urgency: place.urgency, turn: place.turn ?? 0 });
    return true;
  }

  /** The failure because of which an action must wait now, or null. */
  waitingFailure(kind: ActionKind, target: string): FailureRecord | null {
    const record = this.context.failures[failureKey(kind, target)];
    return record === undefined || record.retryAtMs <= this.context.nowMs ? null : record;
  }

  /** Report why an action is not tried now. */
  reportFailure(action: Action, record: FailureRecord): void {
    const times = record.count === 1 ? 'once' : `${record.count} times in a row`;
    this.report(isTerminal(record) ? 'blocked' : 'backoff', action, {
      reason: record.reason,
      message: `${action.kind.replace('_', ' ')} failed ${times}: ${record.message}`,
      untilMs: record.retryAtMs,
    });
  }

  /** Report what is in the way of booting or pausing: for good, or until the operations under way have ended. */
  reportObstacle(subject: Subject, { reason, message, passing }: Obstacle): void {
    const until = passing ? ', until the operations under way have ended' : '';
    this.report(passing ? 'waiting' : 'blocked', subject, { reason, message: `${message}${until}` });
  }

  report(
    kind: Problem['kind'],
    subject: Subject,
    what: { reason: string; message: string; untilMs?: number },
  ): void {
    this.problems.push({
      kind,
      reason: what.reason,
      message: what.message,
      tenant_id: subject.tenant_id,
      pool_id: subject.pool_id ?? null,
      instance_id: subject.instance_id ?? null,
      until: what.untilMs === undefined ? null : new Date(what.untilMs).toISOString(),
    });
  }
}
