import type { AuditSink } from '../state/audit-log.js';
import type { Journal } from './journal.js';

/** A step of a plan, as it is about to be executed or undone. `index` is its place in the plan. */
export interface StepMoment {
  readonly operation: string;
  readonly kind: string;
  readonly index: number;
  readonly undo: boolean;
}

/** Where another entry than the daemon's gets between what hostd does: crash tests end it there. */
export interface ExecutionHooks {
  /** Execute a step, or undo it. */
  step<T>(at: StepMoment, work: () => Promise<T>): Promise<T>;
  journal(journal: Journal): Journal;
  audit<L extends AuditSink>(log: L): Omit<L, 'append'> & AuditSink;
}

/** The daemon's: nothing happens, and nothing is wrapped. */
export const noHooks: ExecutionHooks = {
  step: (_at, work) => work(),
  journal: (journal) => journal,
  audit: (log) => log,
};
