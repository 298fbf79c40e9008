import { chown, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { type AgentdClient, createAgentdClient } from '@mvm/agentd-api';
import { type RunningDaemon, startDaemon } from './daemon.js';

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

/** The agentd of a host: its directory, which is its user's own, and a client. */
export interface AgentdPlace {
  readonly dir: string;
  readonly socketPath: string;
  readonly stateDir: string;
  readonly client: AgentdClient;
  /**
   * Starts agentd, or starts it again: without privileges unless `asRoot`, and quick to look again and to try again,
   * unless `args` say otherwise.
   */
  start(
    args?: readonly string[],
    options?: { readonly asRoot?: boolean; readonly logFd?: number },
  ): Promise<RunningDaemon>;
}

/** Makes the directory. `onStart` gets each agentd that is started. */
export async function createAgentdPlace(
  dir: string,
  hostdSocket: string,
  onStart: (daemon: RunningDaemon) => void,
): Promise<AgentdPlace> {
  await mkdir(dir, { mode: 0o755 });
  if (isRoot) await chown(dir, NOBODY, NOBODY);
  const socketPath = join(dir, 'agentd.sock');
  const stateDir = join(dir, 'state');
  return {
    dir,
    socketPath,
    stateDir,
    client: createAgentdClient({ socketPath, timeoutMs: 20_000 }),
    start: async (args = [], { asRoot = false, ...options } = {}) => {
      const daemon = await startDaemon({
        ...options,
        daemon: 'agentd',
        prefix: asRoot ? [] : UNPRIVILEGED,
        socketPath,
        args: [
          ...['--socket', socketPath, '--hostd-socket', hostdSocket, '--state-dir', stateDir],
          ...['--interval', '300ms', '--retry-delay', '200ms', ...(asRoot ? ['--allow-root'] : []), ...args],
        ],
      });
      onStart(daemon);
      return daemon;
    },
  };
}
