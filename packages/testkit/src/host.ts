import { execFileSync } from 'node:child_process';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { type RunningDaemon, startDaemon } from './daemon.js';

/** How to start a host's hostd, besides the host's own settings. */
export interface StartOptions {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Another program than `mvm-hostd`; see {@link startDaemon}. */
  readonly program?: string;
  /** See {@link startDaemon}. */
  readonly prefix?: readonly string[];
  /** See {@link startDaemon}. */
  readonly logFd?: number;
}

/** One hostd's state, run directory, socket and cgroup, which no other test has. */
export interface Host {
  /** 0755, so that other users reach the socket. */
  readonly dir: string;
  readonly stateDir: string;
  readonly runDir: string;
  readonly socketPath: string;
  readonly cgroupParent: string;
  /** The flags of `mvm-hostd serve` that name these places. */
  readonly args: readonly string[];
  /** Starts hostd, or starts it again. */
  start(options?: StartOptions): Promise<RunningDaemon>;
  /** Stops the daemons that `start` started; then `cleanUp`, if any, ends what they left; then the directory goes. */
  dispose(cleanUp?: () => Promise<void>): Promise<void>;
}

let count = 0;

/**
 * Makes the directories of a host, whose names begin with `prefix`, below `parent` (default `/tmp`). Starts nothing.
 * Throws in a network namespace that leads anywhere, see {@link requireOwnNetwork}.
 */
export async function createHost(options: {
  readonly prefix: string;
  readonly parent?: string;
  /** Further flags of each start. */
  readonly args?: readonly string[];
}): Promise<Host> {
  requireOwnNetwork();
  const dir = await mkdtemp(join(options.parent ?? '/tmp', `${options.prefix}-`));
  await chmod(dir, 0o755);
  count += 1;
  const stateDir = join(dir, 's');
  const runDir = join(dir, 'r');
  const socketPath = join(runDir, 'hostd.sock');
  const cgroupParent = `${options.prefix}-${process.pid}-${count}`;
  const args = [
    ...['--state-dir', stateDir, '--run-dir', runDir, '--socket', socketPath],
    ...['--cgroup-parent', cgroupParent, ...(options.args ?? [])],
  ];
  const daemons: RunningDaemon[] = [];
  return {
    dir,
    stateDir,
    runDir,
    socketPath,
    cgroupParent,
    args,
    start: async (start = {}) => {
      const daemon = await startDaemon({
        ...start,
        daemon: 'hostd',
        socketPath,
        args: [...args, ...(start.args ?? [])],
      });
      daemons.push(daemon);
      return daemon;
    },
    dispose: async (cleanUp) => {
      for (const daemon of daemons) await daemon.stop();
      await cleanUp?.();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** Throws in a network namespace that has a default route: what a test does there would reach the machine. */
export function requireOwnNetwork(): void {
  if (execFileSync('ip', ['route', 'show', 'default'], { encoding: 'utf8' }) === '') return;
  throw new Error('run this tier by its script (pnpm test:vm): it needs a network namespace of its own');
}
