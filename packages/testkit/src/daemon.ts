import { type ChildProcess, spawn } from 'node:child_process';
import { connect } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { patiently } from './patience.js';
import { testUidBase } from './uid-base.js';

/** How to start one of the daemons from its build. */
export interface DaemonOptions {
  readonly daemon: 'hostd' | 'agentd';
  /** Another of its programs, e.g. `mvm-hostd-crash`, which ends itself at a failpoint. */
  readonly program?: string;
  /** Everything after `serve`. */
  readonly args: readonly string[];
  /** The socket that it listens on: it counts as started when a connection to it is accepted. */
  readonly socketPath: string;
  readonly env?: Readonly<Record<string, string>>;
  /** A command put in front of `node`, e.g. `['setpriv', '--reuid', '1000', …]`. It must exec, not fork. */
  readonly prefix?: readonly string[];
  /** In its own session, without a pipe to the caller: it survives the caller. Needs `logFd`. */
  readonly detached?: boolean;
  /** A file that gets stdout and stderr; default: kept in memory, for `logs()`. */
  readonly logFd?: number;
  /** Where Node and the checkout lie for the daemon, when not where they lie for the caller (another mount namespace). */
  readonly place?: { readonly nodePath: string; readonly repoRoot: string };
  /** Default 20 s; see {@link patiently}. */
  readonly startTimeoutMs?: number;
}

/** A running daemon; only ever signals the process that it started. */
export interface RunningDaemon {
  readonly pid: number;
  /** What it wrote so far (the last 256 KiB); empty with `logFd`. */
  logs(): string;
  /** SIGTERM, then SIGKILL after `graceMs` (10 s); resolves once it is gone, with its exit status or signal. */
  stop(graceMs?: number): Promise<string>;
  /** SIGKILL, for crash tests. */
  kill(): Promise<string>;
}

/**
 * Starts a daemon's built program and resolves once its socket accepts connections. Rejects with the daemon's output
 * when it exits first or does not listen in time; then nothing is left running.
 */
export async function startDaemon(options: DaemonOptions): Promise<RunningDaemon> {
  const place = options.place ?? {
    nodePath: process.execPath,
    repoRoot: fileURLToPath(new URL('../../..', import.meta.url)),
  };
  const program = join(
    place.repoRoot,
    `apps/${options.daemon}/bin/${options.program ?? `mvm-${options.daemon}`}.js`,
  );
  const [command = place.nodePath, ...args] = [
    ...(options.prefix ?? []),
    place.nodePath,
    program,
    'serve',
    ...options.args,
  ];
  const output = options.logFd ?? 'pipe';
  const child = spawn(command, args, {
    stdio: ['ignore', output, output],
    env: { ...process.env, MVM_HOSTD_VM_UID_BASE: String(testUidBase()), ...options.env },
    detached: options.detached ?? false,
    cwd: '/',
  });
  let text = '';
  const collect = (chunk: Buffer): void => {
    text = `${text}${chunk.toString('utf8')}`.slice(-262_144);
  };
  child.stdout?.on('data', collect);
  child.stderr?.on('data', collect);
  const exit = exitOf(child);
  let exited: string | null = null;
  void exit.then((status) => {
    exited = status;
  });

  const deadline = performance.now() + patiently(options.startTimeoutMs ?? 20_000);
  while (!(await accepts(options.socketPath))) {
    if (exited !== null)
      throw new Error(`mvm-${options.daemon} ended with ${exited} before it listened:\n${text}`);
    if (performance.now() > deadline) {
      child.kill('SIGKILL');
      await exit;
      throw new Error(`mvm-${options.daemon} does not listen on ${options.socketPath}:\n${text}`);
    }
    await sleep(20);
  }
  if (child.pid === undefined) throw new Error(`mvm-${options.daemon} has no pid`);
  if (options.detached) child.unref();
  return {
    pid: child.pid,
    logs: () => text,
    async stop(graceMs = 10_000) {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), graceMs);
      const status = await exit;
      clearTimeout(timer);
      return status;
    },
    kill() {
      child.kill('SIGKILL');
      return exit;
    },
  };
}

function exitOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(signal ?? `status ${code}`));
  });
}

function accepts(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
