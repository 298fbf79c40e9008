import { listPids, readArgv, readStartTime } from '@mvm/node-host';

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
  for (let tries = 0; tries < 500; tries += 1) {
    if ((await readStartTime(pid)) === null) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`process ${pid} does not end`);
}
