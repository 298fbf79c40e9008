import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type AgentdClient, createAgentdClient, type Status } from '@mvm/agentd-api';
import { type RunningDaemon, startDaemon } from '@mvm/testkit';

const NOBODY = 65_534;
const isRoot = process.getuid?.() === 0;

/** A command prefix that takes every privilege away; nothing to take when the tests themselves have none. */
export const UNPRIVILEGED: readonly string[] = isRoot
  ? [
      'setpriv',
      ...['--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups'],
      ...['--bounding-set=-all', '--inh-caps=-all', '--no-new-privs'],
    ]
  : [];

export interface AgentdHome {
  /** 0755; what is in it is removed by `dispose`. */
  readonly dir: string;
  readonly socketPath: string;
  readonly stateDir: string;
  readonly hostdSocket: string;
  readonly client: AgentdClient;
  /** Start agentd without privileges; quick to look again and to try again, unless `args` say otherwise. */
  start(args?: readonly string[], options?: { readonly logFd?: number }): Promise<RunningDaemon>;
  dispose(): Promise<void>;
}

export async function createAgentdHome(): Promise<AgentdHome> {
  const dir = await mkdtemp('/tmp/mvma-');
  await chmod(dir, 0o755);
  const own = join(dir, 'a');
  await mkdir(own, { mode: 0o755 });
  if (isRoot) await chown(own, NOBODY, NOBODY);
  const socketPath = join(own, 'agentd.sock');
  const stateDir = join(own, 'state');
  const hostdSocket = join(dir, 'hostd.sock');
  const client = createAgentdClient({ socketPath, timeoutMs: 20_000 });
  const daemons: RunningDaemon[] = [];
  return {
    dir,
    socketPath,
    stateDir,
    hostdSocket,
    client,
    async start(args = [], options = {}) {
      const daemon = await startDaemon({
        ...options,
        daemon: 'agentd',
        prefix: UNPRIVILEGED,
        socketPath,
        args: [
          ...['--socket', socketPath, '--hostd-socket', hostdSocket, '--state-dir', stateDir],
          ...['--interval', '300ms', '--retry-delay', '200ms', ...args],
        ],
      });
      daemons.push(daemon);
      return daemon;
    },
    async dispose() {
      await client.close();
      for (const daemon of daemons) await daemon.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

/** The first status that `accept` takes; fails with the last one after 20 s, or `timeoutMs`. */
export async function statusWhen(
  client: AgentdClient,
  accept: (status: Status) => boolean,
  timeoutMs = 20_000,
): Promise<Status> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const status = await client.getStatus();
    if (accept(status)) return status;
    if (performance.now() > deadline) throw new Error(`not in time: ${JSON.stringify(status, null, 1)}`);
    await sleep(20);
  }
}

export interface ProgramResult {
  readonly status: number | null;
  readonly stderr: string;
}

/** Run `mvm-agentd` to its end; for starts that are refused. Ended after 15 s. */
export async function runAgentd(
  args: readonly string[],
  prefix: readonly string[] = UNPRIVILEGED,
): Promise<ProgramResult> {
  const program = fileURLToPath(new URL('../../bin/mvm-agentd.js', import.meta.url));
  const [command = '', ...rest] = [...prefix, process.execPath, program, ...args];
  const child = spawn(command, rest, {
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: 15_000,
    killSignal: 'SIGKILL',
  });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const [status] = await once(child, 'close');
  return { status: status as number | null, stderr };
}
