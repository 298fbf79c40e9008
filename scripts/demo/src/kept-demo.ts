/* biome-ignore-all lint/suspicious/noConsole: this program's output is its product */
import { type DemoState, readState } from './demo-state.js';
import { reopenDemoHost } from './host.js';
import { createMvm } from './mvm.js';
import { demoPaths } from './paths.js';
import { isAlive, type ProcessRef } from './processes.js';

/** A part of a demo that was kept. */
export interface Part {
  readonly name: 'namespace' | 'hostd' | 'agentd';
  readonly process: ProcessRef | null;
  readonly isRunning: boolean;
}

/** What of a demo runs. */
export function partsOf({ holder, hostd, agentd }: DemoState): Part[] {
  const part = (name: Part['name'], process: ProcessRef | null): Part => ({
    name,
    process,
    isRunning: process !== null && isAlive(process),
  });
  return [part('namespace', holder), part('hostd', hostd), part('agentd', agentd)];
}

/** `--status`: 0 when all of it runs, 4 when something has ended, 3 when there is no demo. */
export async function printStatus(repo: string): Promise<number> {
  const left = readState(repo);
  if (left === null) {
    console.log('No demo of this checkout is running. Start one that stays: npm run demo -- --keep');
    return 3;
  }
  if (!left.kept && isAlive(left.demo)) {
    console.log(`A demo is under way (process ${left.demo.pid}).`);
    return 0;
  }
  const parts = partsOf(left);
  for (const { name, process, isRunning } of parts)
    console.log(`${name.padEnd(10)} ${isRunning ? `running (process ${process?.pid})` : 'ended'}`);
  const { env } = createMvm(repo, demoPaths(left.dir), new AbortController().signal);
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  console.log(`for mvm    export PATH="$PWD/node_modules/.bin:$PATH" ${variables.join(' ')}`);
  if (parts.every(({ isRunning }) => isRunning)) return 0;
  console.log(
    'Start again what has ended: npm run demo -- --start. Remove everything: npm run demo -- --stop',
  );
  return 4;
}

/** `--start`: starts the daemons that have ended. */
export async function startAgain(repo: string): Promise<number> {
  const left = readState(repo);
  if (left === null || (!left.kept && isAlive(left.demo))) return printStatus(repo);
  try {
    const host = await reopenDemoHost(repo, left);
    for (const { name, isRunning } of partsOf(left)) {
      if (isRunning || name === 'namespace') continue;
      await (name === 'hostd' ? host.startHostd() : host.startAgentd());
      console.log(`${name} runs again`);
    }
    host.markKept();
  } catch (error) {
    console.error(`It cannot be started again: ${error instanceof Error ? error.message : String(error)}`);
    console.error('Remove what is left: npm run demo -- --stop');
    return 1;
  }
  return printStatus(repo);
}
