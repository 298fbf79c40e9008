import { readdir, readFile, readlink } from 'node:fs/promises';
import { type ProcessIdentity, parseStartTime } from '@mvm/node-host';
import { CodedError } from '@mvm/protocol';

export { isAlive, type ProcessIdentity, readArgv, readStartTime } from '@mvm/node-host';

/** Identifies this boot of the host. Source: random(4). */
export async function readHostBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}

/** Clock ticks of /proc in a second: the same on every Linux that Node runs on. Source: proc(5), sysconf(3). */
const TICKS_PER_SECOND = 100;

/** CPU time of all threads of that very process, in microseconds; null when it is gone. Source: proc(5). */
export async function readCpuUsec({ pid, startTimeTicks }: ProcessIdentity): Promise<number | null> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  if (text === null || parseStartTime(text) !== startTimeTicks) return null;
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  return Number.isFinite(ticks) ? ticks * (1_000_000 / TICKS_PER_SECOND) : null;
}

/** What a VMM must be confined to. */
export interface Confinement {
  readonly uid: number;
  readonly gid: number;
  readonly rootPath: string;
}

/**
 * Checks every thread of a VMM: its user and groups, no capability in effect or within reach, a seccomp filter, no way to
 * new privileges, its root directory. Throws `internal`, reason `vmm.not_confined`, naming the first deviation.
 * PRIVILEGE: /proc/<pid>/root of another user's process.
 */
export async function verifyConfinement(pid: number, expected: Confinement): Promise<void> {
  for (const thread of await readdir(`/proc/${pid}/task`)) {
    const status = await readFile(`/proc/${pid}/task/${thread}/status`, 'utf8').catch(() => null);
    // A thread may end between the two reads; the others are still there to be checked.
    if (status === null) continue;
    const deviation = findDeviation(status, expected);
    if (deviation !== null) throw notConfined(pid, `thread ${thread}: ${deviation}`);
  }
  const root = await readlink(`/proc/${pid}/root`).catch(() => null);
  if (root !== expected.rootPath) throw notConfined(pid, `its root directory is ${root ?? 'unknown'}`);
}

/** The first line of a /proc status that is not as confined as it must be, or null; `other` lines take the place of ours, null: any. Pure. */
export function findDeviation(
  status: string,
  { uid, gid }: Pick<Confinement, 'uid' | 'gid'>,
  other: Readonly<Record<string, string | null>> = {},
): string | null {
  const expected: Readonly<Record<string, string | null>> = {
    Uid: Array(4).fill(uid).join('\t'),
    Gid: Array(4).fill(gid).join('\t'),
    Groups: String(gid),
    CapInh: '0000000000000000',
    CapPrm: '0000000000000000',
    CapEff: '0000000000000000',
    CapAmb: '0000000000000000',
    NoNewPrivs: '1',
    Seccomp: '2',
    ...other,
  };
  for (const [name, value] of Object.entries(expected)) {
    if (value === null) continue;
    const actual = new RegExp(`^${name}:[^\\S\\n]*(.*?)[^\\S\\n]*$`, 'm').exec(status)?.[1];
    if (actual !== value) return `${name} is ${actual ?? 'unknown'} instead of ${value}`;
  }
  return null;
}

function notConfined(pid: number, what: string): CodedError {
  return new CodedError({
    code: 'internal',
    reason: 'vmm.not_confined',
    message: `the VMM (pid ${pid}) is not confined: ${what}`,
    hint: 'Its QEMU may be built without seccomp; use the distribution’s package.',
    details: { pid },
  });
}
