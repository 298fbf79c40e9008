import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { PoolOptions, PoolRunnerInitializer, PoolWorker, WorkerRequest } from 'vitest/node';

const UNSHARE = ['--net', '--mount', '--propagation', 'private', '--'];
/** Named network namespaces are files below /run/netns: of this worker alone, and gone with it. */
const OWN_NETNS = 'mkdir -p /run/netns && mount -t tmpfs -o mode=0755 netns /run/netns && exec "$0" "$@"';
const KILL_AFTER_MS = 10_000;

/**
 * Vitest's pool of child processes, each in a network and mount namespace of its own, with named namespaces of its own, so that neither the host nor
 * another file sees what a test file does to interfaces, nftables, routing rules and mounts. Only root may use it.
 */
export const namespacedForks: PoolRunnerInitializer = {
  name: 'namespaced-forks',
  createPoolWorker: (options) => new NamespacedWorker(options),
};

class NamespacedWorker implements PoolWorker {
  readonly name = 'namespaced-forks';
  readonly cacheFs = true;
  readonly #options: PoolOptions;
  #child: ChildProcess | null = null;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { distPath, execArgv, env, project } = this.#options;
    // unshare becomes node by exec: the process id and the channel to this process stay.
    this.#child = fork(join(distPath, 'workers/forks.js'), [], {
      execPath: 'unshare',
      execArgv: [...UNSHARE, 'sh', '-c', OWN_NETNS, process.execPath, ...execArgv],
      env: env as NodeJS.ProcessEnv,
      stdio: 'pipe',
      serialization: 'advanced',
    });
    this.#child.stdout?.pipe(project.vitest.logger.outputStream, { end: false });
    this.#child.stderr?.pipe(project.vitest.logger.errorStream, { end: false });
  }

  async stop(): Promise<void> {
    const child = this.#running();
    if (child.exitCode === null && child.signalCode === null) {
      const killer = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS);
      child.kill();
      await once(child, 'exit');
      clearTimeout(killer);
    }
    this.#child = null;
  }

  on(event: string, callback: (argument: unknown) => void): void {
    this.#running().on(event, callback);
  }

  off(event: string, callback: (argument: unknown) => void): void {
    this.#running().off(event, callback);
  }

  send(message: WorkerRequest): void {
    this.#running().send(message);
  }

  deserialize(data: unknown): unknown {
    return data;
  }

  #running(): ChildProcess {
    if (this.#child === null) throw new Error('the worker is not running');
    return this.#child;
  }
}
