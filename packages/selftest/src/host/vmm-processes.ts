import { listPids, readArgv, readStartTime, until } from '@mvm/node-host';

/** A process that works for hostd or is one of its VMMs. */
export interface FoundProcess {
  readonly pid: number;
  readonly argv: readonly string[];
}

/** Live processes (no zombies) with `text` in their arguments, but the caller. */
export async function findProcesses(text: string): Promise<FoundProcess[]> {
  const found: FoundProcess[] = [];
  for (const pid of await listPids()) {
    if (pid === process.pid) continue;
    const argv = (await readArgv(pid)) ?? [];
    if (argv.join('\0').includes(text)) found.push({ pid, argv });
  }
  return found;
}

/** SIGKILL, and wait until it is gone. Nothing when it is already. */
export async function killProcess(pid: number): Promise<void> {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    return;
  }
  await until(`process ${pid} ends`, async () => (await readStartTime(pid)) === null, { timeoutMs: 5_000 });
}
