import type { PoolStatus, Problem, Status } from '@mvm/agentd-api';
import { CodedError, isCodedError } from '@mvm/protocol';
import { formatAddress } from '../address/address.js';
import type { CliContext } from '../context.js';
import { formatDuration } from '../format/duration.js';

const POLL_MS = 300;

/** What a status means to someone who waits for a revision. */
export type WaitVerdict =
  | { readonly kind: 'converged' }
  | { readonly kind: 'waiting'; readonly text: string }
  | { readonly kind: 'stuck' }
  | { readonly kind: 'superseded'; readonly by: string | null };

/** Judges a status for someone who waits for `revision`; `waiting` carries a line that says how far it is. */
function judgeStatus(status: Status, revision: string): WaitVerdict {
  if (status.desired.revision !== revision) return { kind: 'superseded', by: status.desired.revision };
  if (status.converged) return { kind: 'converged' };
  if (status.settled) return { kind: 'stuck' };
  return { kind: 'waiting', text: describeProgress(status) };
}

/**
 * Waits until the host is as `revision` wants it, showing how far it is. Errors: `deadline_exceeded`
 * (`wait.timed_out`), `failed_precondition` (`wait.stuck`) when agentd can do no more, `aborted` (`wait.superseded`)
 * when somebody applied another revision.
 */
export async function waitForConvergence(
  context: CliContext,
  revision: string,
  timeoutMs: number,
): Promise<Status> {
  const start = context.monotonicMs();
  const agentd = await context.agentd();
  const progress = await context.progress('waiting for agentd');
  let last: Status | undefined;
  try {
    for (;;) {
      const leftMs = Math.ceil(timeoutMs - (context.monotonicMs() - start));
      if (leftMs <= 0) throw timedOut(last, timeoutMs);
      const status = await agentd
        .getStatus({}, { signal: context.signal, timeoutMs: leftMs })
        .catch((error: unknown) => {
          throw isCodedError(error) && error.code === 'deadline_exceeded' ? timedOut(last, timeoutMs) : error;
        });
      last = status;
      const verdict = judgeStatus(status, revision);
      if (verdict.kind === 'converged') {
        progress.done(`converged after ${formatDuration(context.monotonicMs() - start)}`);
        return status;
      }
      if (verdict.kind === 'stuck') throw stuck(status);
      if (verdict.kind === 'superseded') throw superseded(revision, verdict.by);
      progress.update(verdict.text);
      await context.sleep(Math.min(POLL_MS, leftMs));
    }
  } catch (error) {
    progress.fail();
    throw error;
  }
}

/** One problem as a line. */
function describeProblem(problem: Problem): string {
  return `${formatAddress(problem)}: ${problem.message}`;
}

const STATES = ['running', 'warm', 'sleeping'] as const;

function describeProgress(status: Status): string {
  // What is waited for comes first: more than one state is on its way only until enough run.
  const lacking = STATES.find((state) => behindIn(status, state).length > 0);
  const problem =
    status.problems.find(({ kind }) => kind === 'backoff' || kind === 'blocked') ??
    status.problems.find(({ kind, until }) => kind === 'waiting' && until !== null);
  const counts = lacking === undefined ? describePending(status) : describeCounts(status, lacking);
  return [counts, ...(problem ? [describeProblem(problem)] : [])].join('; ');
}

function behindIn(status: Status, state: (typeof STATES)[number]): readonly PoolStatus[] {
  return status.pools.filter((pool) => pool.actual[state] !== pool.wanted[state]);
}

function describePending(status: Status): string {
  const left = status.pending.length;
  return left === 0 ? 'looking at the host' : `${left} ${left === 1 ? 'action' : 'actions'} left`;
}

function describeCounts(status: Status, state: (typeof STATES)[number]): string {
  const behind = behindIn(status, state);
  const sum = (of: (pool: PoolStatus) => number) => status.pools.reduce((total, pool) => total + of(pool), 0);
  const wanted = sum((pool) => pool.wanted[state]);
  const actual = sum((pool) => pool.actual[state]);
  const counts = behind.some((pool) => pool.actual[state] > pool.wanted[state])
    ? `${actual} instances ${state}, ${wanted} wanted`
    : `${actual} of ${wanted} instances ${state}`;
  const listed = behind
    .slice(0, 3)
    .map((pool) => `${formatAddress(pool)} ${pool.actual[state]}/${pool.wanted[state]}`);
  const more = behind.length > listed.length ? [`${behind.length - listed.length} more pools`] : [];
  return `${counts} (${[...listed, ...more].join(', ')})`;
}

function timedOut(status: Status | undefined, timeoutMs: number): CodedError {
  const left = status === undefined ? '' : `: ${describeProgress(status)}`;
  return new CodedError({
    code: 'deadline_exceeded',
    reason: 'wait.timed_out',
    message: `not converged within ${formatDuration(timeoutMs)}${left}`,
    details: consoleOf(status),
    hint: 'agentd goes on trying; watch it with "mvm status", or wait longer with --timeout',
  });
}

function stuck(status: Status): CodedError {
  const lines = status.problems.map(describeProblem);
  return new CodedError({
    code: 'failed_precondition',
    reason: 'wait.stuck',
    message: ['the desired state cannot be reached as things are:', ...lines].join('\n'),
    details: consoleOf(status),
    hint: 'remove the causes above; agentd then goes on by itself ("mvm status" follows it)',
  });
}

function superseded(revision: string, by: string | null): CodedError {
  return new CodedError({
    code: 'aborted',
    reason: 'wait.superseded',
    message: `somebody else applied revision ${by ?? '(none)'} while this waited for ${revision}`,
    hint: 'look at "mvm status", then apply again if yours is the one that counts',
  });
}

/** The console's last lines of the most recent failure, when there are any. */
function consoleOf(status: Status | undefined): Record<string, string> {
  const failed = status?.recent.find((decision) => decision.error?.details.console_tail);
  const tail = failed?.error?.details.console_tail;
  return typeof tail === 'string' ? { console_tail: tail } : {};
}
