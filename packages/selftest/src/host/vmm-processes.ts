import { readdir, readFile } from 'node:fs/promises';

/** A process that works for hostd or is one of its VMMs. */
export interface FoundProcess {
  readonly pid: number;
  readonly argv: readonly string[];
}

/** Live processes (no zombies) with `text` in their arguments, but the caller. */
export async function findProcesses(text: string): Promise<FoundProcess[]> {
  const found: FoundProcess[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) continue;
    const line = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '');
    if (line.includes(text)) found.push({ pid: Number(name), argv: line.replace(/\0$/, '').split('\0') });
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
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
    if (stat === null || /\) [ZX] /.test(stat)) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`process ${pid} does not end`);
}
