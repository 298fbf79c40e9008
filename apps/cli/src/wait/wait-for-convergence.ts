import type { PoolStatus, Problem, Status } from '@mvm/agentd-api';
import { CodedError, isCodedError } from '@mvm/protocol';
import { formatAddress } from '../address/address.js';
import type { CliContext } from '../context.js';
import { HELD_EXIT_CODE } from '../errors/exit-code.js';
import { ReportedFailure } from '../errors/reported-failure.js';
import { formatDuration } from '../format/duration.js';

const POLL_MS = 300;

/** What a status means to someone who waits for a revision. */
export type WaitVerdict =
  | { readonly kind: 'converged' }
  /** As desired, except for what an operator holds. */
  | { readonly kind: 'held'; readonly text: string }
  | { readonly kind: 'waiting'; readonly text: string }
  | { readonly kind: 'stuck' }
  | { readonly kind: 'superseded'; readonly by: string | null };

/** Judges a status for someone who waits for `revision`; `waiting` carries a line that says how far it is. */
function judgeStatus(status: Status, revision: string): WaitVerdict {
  if (status.desired.revision !== revision) return { kind: 'superseded', by: status.desired.revision };
  if (status.converged && status.held > 0) return { kind: 'held', text: describeHeld(status) };
  if (status.converged) return { kind: 'converged' };
  if (status.settled) return { kind: 'stuck' };
  return { kind: 'waiting', text: describeProgress(status) };
}

/**
 * Waits until the host is as `revision` wants it, showing how far it is. Errors: `deadline_exceeded`
 * (`wait.timed_out`), `failed_precondition` (`wait.stuck`) when agentd can do no more, `aborted` (`wait.superseded`)
 * when another revision was applied.
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
      if (verdict.kind === 'held') {
        const took = formatDuration(context.monotonicMs() - start);
        progress.done(`as desired after ${took}, except for ${verdict.text}`);
        for (const problem of status.problems.filter(({ kind }) => kind === 'hold')) {
          context.say(describeProblem(problem));
        }
        throw new ReportedFailure(HELD_EXIT_CODE);
      }
      if (verdict.kind === 'stuck') throw stuck(status);
      if (verdict.kind === 'superseded') throw superseded(revision, verdict.by);
      progress.update(verdict.text);
      await context.sleep(Math.min(POLL_MS, leftMs));
    }
  } catch (error) {
    progress.fail();
    if (context.signal.aborted) {
      context.say(
        `revision ${revision} stays applied, and agentd continues without this command: mvm status --watch`,
      );
    }
    throw error;
  }
}

/** `2 instances held by an operator (acme/web 1/2 running)`. */
export function describeHeld(status: Status): string {
  const pools = status.pools.filter(({ held }) => held > 0);
  const listed = pools
    .slice(0, 3)
    .map((pool) => `${formatAddress(pool)} ${pool.actual.running}/${pool.wanted.running} running`);
  const more = pools.length > listed.length ? [`${pools.length - listed.length} more pools`] : [];
  const count = status.held === 1 ? '1 instance' : `${status.held} instances`;
  return `${count} held by an operator (${[...listed, ...more].join(', ')})`;
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
  if (status.hostd.state !== 'connected') {
    return `agentd cannot ask hostd${status.hostd.error === null ? '' : `: ${status.hostd.error.message}`}`;
  }
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
  if (status !== undefined && status.hostd.state !== 'connected') return withoutHostd(status, timeoutMs);
  const left = status === undefined ? '' : `: ${describeProgress(status)}`;
  return new CodedError({
    code: 'deadline_exceeded',
    reason: 'wait.timed_out',
    message: `not converged within ${formatDuration(timeoutMs)}${left}`,
    details: consoleOf(status),
    hint: 'agentd keeps trying; watch it with "mvm status", or wait longer with --timeout',
  });
}

function withoutHostd({ hostd }: Status, timeoutMs: number): CodedError {
  const why = hostd.error === null ? hostd.state.replaceAll('_', ' ') : hostd.error.message;
  return new CodedError({
    code: hostd.state === 'protocol_mismatch' ? 'protocol_mismatch' : 'unavailable',
    reason: 'wait.hostd_unreachable',
    message: `not converged within ${formatDuration(timeoutMs)}, because agentd cannot ask hostd: ${why}`,
    hint:
      hostd.error?.hint ?? 'systemctl status mvm-hostd says why it does not run; agentd continues by itself',
  });
}

function stuck(status: Status): CodedError {
  const lines = status.problems.map(describeProblem);
  return new CodedError({
    code: 'failed_precondition',
    reason: 'wait.stuck',
    message: ['the desired state cannot be reached as things are:', ...lines].join('\n'),
    details: consoleOf(status),
    hint: 'remove the causes above; agentd then continues by itself ("mvm status" follows it)',
  });
}

function superseded(revision: string, by: string | null): CodedError {
  return new CodedError({
    code: 'aborted',
    reason: 'wait.superseded',
    message: `another operator applied revision ${by ?? '(none)'} while this waited for ${revision}`,
    hint: 'look at "mvm status", then apply again if yours is the one that counts',
  });
}

/** The console's last lines of the most recent failure, when there are any. */
function consoleOf(status: Status | undefined): Record<string, string> {
  const failed = status?.recent.find((decision) => decision.error?.details.console_tail);
  const tail = failed?.error?.details.console_tail;
  return typeof tail === 'string' ? { console_tail: tail } : {};
}
