import type { CodedError } from '@mvm/protocol';
import type { HostPorts } from '../ports.js';
import type { StepArgs, StepKind } from '../step.js';

/** Thrown by a step that failed, and is known to have changed nothing. */
export class NoEffect extends Error {
  /** Its description for people. */
  readonly error: CodedError;

  constructor(error: CodedError) {
    super(error.message, { cause: error });
    this.error = error;
  }
}

/** How one kind of step is executed and undone. Both may be repeated; `undo` may come without an `execute` before it. */
export interface StepExecutor<K extends StepKind> {
  /** Throws `NoEffect` when it has changed nothing for certain, and any other error when it may have. */
  execute(args: StepArgs[K], ports: HostPorts): Promise<void>;
  /**
   * What of a step may be done while the steps before it run: it reads, changes nothing, and looks at nothing that they
   * change. Begun with the plan; the step's turn begins by waiting for it, and fails as it does. Ends soon after `signal`.
   */
  prefetch?(args: StepArgs[K], ports: HostPorts, signal: AbortSignal): Promise<void>;
  undo(args: StepArgs[K], ports: HostPorts): Promise<void>;
  /** Only of a commit point: whether it has taken effect, as files and records tell. */
  committed?(args: StepArgs[K], ports: HostPorts): Promise<boolean>;
  /**
   * Only of a commit point: undo its effect, in the process that knows that nothing has followed from it; never after a
   * crash. Then the plan is undone.
   */
  revertCommit?(args: StepArgs[K], ports: HostPorts): Promise<void>;
}

/** The undo of a step that leaves nothing worth undoing, or that no undone plan contains. */
export async function nothing(): Promise<void> {}
