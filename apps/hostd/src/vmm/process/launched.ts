import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CodedError, isCodedError } from '@mvm/protocol';
import type { VmExit } from '../vmm.js';
import { killProcess } from './kill-process.js';
import { isAlive, readStartTime } from './process-identity.js';

const READY_WITHIN_MS = 30_000;
const LOOK_AGAIN_MS = 4;
const ENDS_WITHIN_MS = 1_000;
/** A process that is ending is in no cgroup, and answers nothing, a moment before it is gone: neither says why it ended. */
const ENDING_REASONS: readonly string[] = ['cgroup.not_attached', 'vmm.connection_lost'];

/** The error of a failed launch, with what the VMM wrote itself. */
type Fail = (what: string, cause?: unknown) => Promise<CodedError>;

/** A VMM's process that was just started, until its driver's handle has it. */
export interface Launched {
  readonly pid: number;
  /** Clock ticks since boot; null when it had ended before that was read. */
  readonly startTimeTicks: string | null;
  readonly exit: Promise<VmExit>;
  /** How it ended, in words; resolves when it has ended. */
  ending(): Promise<string>;
  /**
   * What `attempt` resolves with as soon as it does not reject any more; it gets the time that is left in ms. Throws what
   * `fail` makes of it when the process ends first, or after `readyWithinMs`, which is 30 s unless told.
   */
  whenReady<T>(attempt: (timeoutMs: number) => Promise<T>, fail: Fail): Promise<T>;
  /**
   * Ends the process after `error`, and returns what to report: `error` itself, or how the process ended when it did so by
   * itself and `isCause` does not recognise `error` as the cause.
   */
  endAfter(error: unknown, fail: Fail, isCause?: (error: CodedError) => boolean): Promise<CodedError>;
}

/** Watches a child process with a pid; `program` is its name in messages. */
export async function watchLaunched(
  child: ChildProcess,
  program: string,
  readyWithinMs = READY_WITHIN_MS,
): Promise<Launched> {
  let ended: VmExit | null = null;
  const exit = once(child, 'exit').then(([exitCode, signal]: (number | string | null)[]): VmExit => {
    ended = {
      exitCode: typeof exitCode === 'number' ? exitCode : null,
      signal: typeof signal === 'string' ? signal : null,
    };
    return ended;
  });
  const pid = child.pid as number;
  const startTimeTicks = await readStartTime(pid);
  const ending = async (): Promise<string> => {
    const { exitCode, signal } = await exit;
    return signal === null
      ? `${program} ended with exit code ${exitCode}`
      : `${program} was ended by ${signal}`;
  };
  return {
    pid,
    startTimeTicks,
    exit,
    ending,
    whenReady: async (attempt, fail) => {
      const deadline = performance.now() + readyWithinMs;
      for (;;) {
        try {
          return await attempt(Math.ceil(Math.max(1, deadline - performance.now())));
        } catch (error) {
          if (ended !== null) throw await fail(await ending(), error);
          if (performance.now() > deadline)
            throw await fail(`it is not ready after ${readyWithinMs / 1000} s`, error);
        }
        await sleep(LOOK_AGAIN_MS);
      }
    },
    endAfter: async (error, fail, isCause = () => true) => {
      const isEnding = isCodedError(error) && ENDING_REASONS.includes(error.reason);
      if (isEnding) await Promise.race([exit, sleep(ENDS_WITHIN_MS)]);
      const identity = startTimeTicks === null ? null : { pid, startTimeTicks };
      const endedByItself = identity === null || !(await isAlive(identity));
      const isExplained = isCodedError(error) && !isEnding && isCause(error);
      const reported = endedByItself && !isExplained ? await fail(await ending(), error) : error;
      if (identity !== null) await killProcess(identity);
      return isCodedError(reported) ? reported : await fail(String(reported), reported);
    },
  };
}
