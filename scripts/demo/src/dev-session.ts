import type { RunningDaemon } from '@mvm/testkit';
import { createDemoHost } from './host.js';
import { createMvm } from './mvm.js';
import { takeDown } from './take-down.js';

/** Both daemons, running, for `pnpm dev`. */
export interface DevSession {
  /** Restarts the named daemons, hostd first; one that does not come up is reported and tried again next time. */
  restart(daemons: readonly ('hostd' | 'agentd')[]): Promise<void>;
  /** Takes everything down; resolves to an exit status, 1 when something was left. */
  end(): Promise<number>;
}

/** Prepares the demo's surroundings and starts both daemons. Rejects, with nothing left, when that is impossible. */
export async function createDevSession(repo: string, say: (text: string) => void): Promise<DevSession> {
  const host = await createDemoHost(repo);
  const running = new Map<'hostd' | 'agentd', RunningDaemon>();
  const start = { hostd: () => host.startHostd(), agentd: () => host.startAgentd() };

  const restart: DevSession['restart'] = async (daemons) => {
    for (const daemon of daemons) {
      await running.get(daemon)?.stop();
      running.delete(daemon);
      try {
        running.set(daemon, await start[daemon]());
        say(`${daemon} runs`);
      } catch (error) {
        say(`${daemon} does not start: ${error instanceof Error ? error.message : String(error)}`);
      }
    }
  };
  const end = async (): Promise<number> => {
    const { differences, problems } = await takeDown(repo, host.state());
    for (const problem of problems) say(problem);
    for (const { kind, change, item } of differences) say(`${change} ${kind}: ${item}`);
    return problems.length + differences.length === 0 ? 0 : 1;
  };

  try {
    await host.prepare();
  } catch (error) {
    await end();
    throw error;
  }
  await restart(['hostd', 'agentd']);
  const { env } = createMvm(repo, host.paths, new AbortController().signal);
  say(
    `for mvm: export ${Object.entries(env)
      .map(([name, value]) => `${name}=${value}`)
      .join(' ')}`,
  );
  say(`logs: ${host.paths.hostdLog} ${host.paths.agentdLog}`);
  return { restart, end };
}
