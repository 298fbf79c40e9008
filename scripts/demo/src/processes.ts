import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** A process that a later run can still recognise: a PID is reused, a PID with its start time is not. */
export interface ProcessRef {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat: clock ticks since boot. Source: proc(5). */
  readonly startTime: string;
}

/** The process with this PID; null when there is none. */
export function processRef(pid: number): ProcessRef | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the command in parentheses, which may itself hold blanks and parentheses.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [state, startTime] = [fields[0], fields[19]];
    return startTime === undefined || state === 'Z' || state === 'X' ? null : { pid, startTime };
  } catch {
    return null;
  }
}

/** Whether exactly this process still runs. */
export function isAlive(ref: ProcessRef): boolean {
  return processRef(ref.pid)?.startTime === ref.startTime;
}

/** SIGTERM, after `graceMs` SIGKILL; resolves once the process is gone. A stranger with the same PID is left alone. */
export async function endProcess(ref: ProcessRef, graceMs: number): Promise<void> {
  for (const [signal, waitMs] of [
    ['SIGTERM', graceMs],
    ['SIGKILL', 5000],
  ] as const) {
    if (!isAlive(ref)) return;
    try {
      process.kill(ref.pid, signal);
    } catch {
      return;
    }
    const deadline = performance.now() + waitMs;
    while (isAlive(ref) && performance.now() < deadline) await sleep(20);
  }
}
