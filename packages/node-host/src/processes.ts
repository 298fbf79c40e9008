/**
 * Which process is which. Source: proc(5).
 *
 * INVARIANTS
 * - A pid alone identifies nothing: it is always taken together with its start time.
 * - A zombie counts as gone: it holds neither memory nor devices.
 */
import { readdir, readFile } from 'node:fs/promises';

/** A process, and not a later one with the same pid. */
export interface ProcessIdentity {
  readonly pid: number;
  /** Field 22 of /proc/<pid>/stat, in clock ticks since boot. */
  readonly startTimeTicks: string;
}

/** Start time of the live process with this pid, or null when there is none (or only its zombie). */
export async function readStartTime(pid: number): Promise<string | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => null);
  return text === null ? null : parseStartTime(text);
}

/** Start time out of the text of /proc/<pid>/stat; null for a zombie or a dead process. Pure. */
export function parseStartTime(stat: string): string | null {
  // The second field is the program's name in parentheses and may hold anything, so the count begins after the last.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [state] = fields;
  if (state === 'Z' || state === 'X') return null;
  return fields[19] ?? null;
}

/** Whether that very process is alive. */
export async function isAlive({ pid, startTimeTicks }: ProcessIdentity): Promise<boolean> {
  return (await readStartTime(pid)) === startTimeTicks;
}

/** The argument vector of a live process; null when it is gone. */
export async function readArgv(pid: number): Promise<string[] | null> {
  const text = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => null);
  return text === null || text === '' ? null : text.replace(/\0$/, '').split('\0');
}

/** The pids of all processes in this process's view of /proc. */
export async function listPids(): Promise<number[]> {
  return (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
}
