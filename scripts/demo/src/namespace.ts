import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { execa } from 'execa';
import { endProcess, type ProcessRef, processRef } from './processes.js';

/** A network and mount namespace that lives as long as its holder, a process that does nothing else. */
export interface DemoNamespace {
  readonly holder: ProcessRef;
  /** The checkout and Node as the namespace shows them: readable for an unprivileged user wherever they really lie. */
  readonly repoRoot: string;
  readonly nodePath: string;
}

/** Puts a command into the namespace; `nsenter` execs it, so the PID that is started is the command's. */
export function enterPrefix(holder: ProcessRef): string[] {
  return ['nsenter', `--net=/proc/${holder.pid}/ns/net`, `--mount=/proc/${holder.pid}/ns/mnt`, '--'];
}

/**
 * Makes the namespace: only `lo` in it, and the checkout and Node bound below `dir`, where the user `mvm` may read
 * them (a clone below /root is closed to everybody else). The mounts are private: the host never sees them, and they
 * end with the holder. Rejects, with nothing left, when namespaces cannot be made here.
 *
 * PRIVILEGE: namespaces and mounts need CAP_SYS_ADMIN. SAFETY: the paths are this program's own.
 */
export async function createNamespace(dir: string, repo: string): Promise<DemoNamespace> {
  const held = join(dir, 'namespace');
  writeFileSync(held, 'This file is held open by the process that keeps the demo namespace alive.\n');
  const own = readlinkSync('/proc/self/ns/net');
  const child = spawn('unshare', ['--net', '--mount', '--propagation', 'private', '--', 'tail', '-f', held], {
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
    cwd: '/',
  });
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaint += chunk.toString('utf8');
  });
  let ended = false;
  child.once('exit', () => {
    ended = true;
  });
  child.once('error', (error) => {
    complaint += error.message;
    ended = true;
  });
  while (!ended && !isTailElsewhere(child.pid, own)) await sleep(5);
  const holder = child.pid === undefined || ended ? null : processRef(child.pid);
  if (holder === null)
    throw new Error(`no namespace could be made: ${complaint.trim() || 'the holder ended'}`);
  child.unref();
  child.stderr.destroy();

  try {
    const repoRoot = join(dir, 'checkout');
    const nodePath = join(dir, 'node');
    mkdirSync(repoRoot, { mode: 0o755 });
    writeFileSync(nodePath, '', { mode: 0o755 });
    for (const args of [
      ['ip', 'link', 'set', 'lo', 'up'],
      ['mount', '--bind', repo, repoRoot],
      ['mount', '--bind', process.execPath, nodePath],
    ]) {
      const [command = '', ...rest] = [...enterPrefix(holder), ...args];
      await execa(command, rest);
    }
    return { holder, repoRoot, nodePath };
  } catch (error) {
    await endProcess(holder, 1000);
    throw error;
  }
}

/** Whether `unshare` has done its work and become `tail`, in another network namespace than ours. */
function isTailElsewhere(pid: number | undefined, own: string): boolean {
  try {
    return (
      readFileSync(`/proc/${pid}/comm`, 'utf8').trim() === 'tail' &&
      readlinkSync(`/proc/${pid}/ns/net`) !== own
    );
  } catch {
    return false;
  }
}
