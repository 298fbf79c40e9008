import type { HostdClient } from '@mvm/hostd-client';
import { type CodedError, isCodedError, toCodedError } from '@mvm/protocol';
import pLimit from 'p-limit';
import { PHASES, targetOf } from './actions.js';
import { requestFor } from './requests.js';
import type { Action } from './types.js';

/** How one action went. */
export interface ActionOutcome {
  readonly action: Action;
  readonly startedAtMs: number;
  readonly durationMs: number;
  readonly error: CodedError | null;
}

export interface Execution {
  /** What was tried, in the order in which it ended. */
  readonly outcomes: readonly ActionOutcome[];
  /** Why the rest was not tried: hostd is gone, or the pass was canceled; null when all was. */
  readonly interrupted: CodedError | null;
}

export interface ExecuteOptions {
  readonly client: HostdClient;
  /** Revision of the desired state that the actions follow from; for hostd's audit log. */
  readonly revision: string;
  /** Actions that run at the same time, 1 or more. */
  readonly concurrency: number;
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
  readonly now: () => number;
  readonly onOutcome: (outcome: ActionOutcome) => void;
}

/** Characters of a cause that the protocol takes. */
const MAX_CAUSE_LENGTH = 256;

const INTERRUPTING: ReadonlySet<string> = new Set([
  'hostd.unreachable',
  'hostd.disconnected',
  'hostd.denied',
  'hostd.canceled',
  'hostd.client_closed',
  'hostd.version_too_old',
  'hostd.too_many_requests',
]);

/** Whether a failure is the connection's, not the action's: it says nothing about trying this action again. */
export function isConnectionFailure(error: unknown): boolean {
  return isCodedError(error) && INTERRUPTING.has(error.reason);
}

/**
 * Carry out the actions of a plan, phase by phase, at most `concurrency` at a time. One that fails does not stop others,
 * except those that need the tenant or pool that it was to ensure; when hostd is lost, nothing more is tried. Never
 * throws.
 */
export async function executePlan(actions: readonly Action[], options: ExecuteOptions): Promise<Execution> {
  const { client, now, signal, timeoutMs } = options;
  const limit = pLimit(options.concurrency);
  const outcomes: ActionOutcome[] = [];
  const missing = new Set<string>();
  let interrupted: CodedError | null = null;

  async function run(action: Action): Promise<void> {
    if (interrupted !== null || needsMissing(action, missing)) return;
    const startedAtMs = now();
    const began = performance.now();
    const error = await client
      .request(requestFor(action), {
        signal,
        timeoutMs: timeoutMs + guestMs(action),
        origin: {
          uid: null,
          cause: `revision ${options.revision}: ${action.reason}`.slice(0, MAX_CAUSE_LENGTH),
        },
      })
      .then(
        () => null,
        (thrown: unknown) => toCodedError(thrown),
      );
    if (error !== null && isConnectionFailure(error)) interrupted ??= error;
    if (error !== null && action.kind.startsWith('ensure_')) missing.add(targetOf(action));
    const outcome = { action, startedAtMs, durationMs: performance.now() - began, error };
    outcomes.push(outcome);
    options.onOutcome(outcome);
  }

  const phases = new Set(actions.map((action) => PHASES[action.kind]));
  for (const phase of [...phases].sort()) {
    const together = actions.filter((action) => PHASES[action.kind] === phase);
    await Promise.all(together.map((action) => limit(run, action)));
  }
  return { outcomes, interrupted };
}

/** What an action may take beyond the time that every action has: a guest's drain, or its shutdown. */
function guestMs(action: Action): number {
  if (action.kind === 'stop') return action.graceful_shutdown_seconds * 1000;
  return action.kind === 'sleep' ? action.drain_timeout_seconds * 1000 : 0;
}

function needsMissing(action: Action, missing: ReadonlySet<string>): boolean {
  if (action.kind === 'ensure_tenant') return false;
  if (missing.has(action.tenant_id)) return true;
  if (action.kind === 'ensure_pool' || !('pool_id' in action)) return false;
  return missing.has(`${action.tenant_id}/${action.pool_id}`);
}
