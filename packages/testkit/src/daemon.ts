import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { startListening } from '@mvm/node-host';
import { patiently } from './patience.js';
import { testUidBase } from './uid-base.js';

const START_TIMEOUT_MS = 60_000;

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
  let text = '';
  const process_ = await startListening({
    command: [...(options.prefix ?? []), place.nodePath, program, 'serve', ...options.args] as [
      string,
      ...string[],
    ],
    env: { MVM_HOSTD_VM_UID_BASE: String(testUidBase()), ...options.env },
    socketPath: options.socketPath,
    timeoutMs: patiently(START_TIMEOUT_MS),
    detached: options.detached,
    output:
      options.logFd ??
      ((more) => {
        text = `${text}${more}`.slice(-262_144);
      }),
  }).catch((error: unknown) => {
    throw new Error(`mvm-${options.daemon}: ${(error as Error).message}:\n${text}`, { cause: error });
  });
  return {
    pid: process_.pid,
    logs: () => text,
    stop: (graceMs = 10_000) => process_.stop(graceMs),
    kill: () => {
      process_.signal('SIGKILL');
      return process_.exited;
    },
  };
}
