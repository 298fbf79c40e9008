import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { HostSnapshot } from '@mvm/testkit';
import type { ProcessRef } from './processes.js';

/**
 * What has to be taken down again. Written before each thing is made, so that `--stop`, or the next run, can finish
 * the work of a demo that was killed.
 *
 * INVARIANTS: at most one demo per checkout; the file exists exactly while something of it may exist.
 */
export interface DemoState {
  /** Name of the temporary directory and of the cgroup parent; every process carries it in its arguments. */
  readonly id: string;
  readonly dir: string;
  /** The demo's own process, to tell a run that is under way from one that was killed. */
  readonly demo: ProcessRef;
  readonly before: HostSnapshot;
  readonly createdUser: boolean;
  readonly createdGroup: boolean;
  readonly holder: ProcessRef | null;
  readonly hostd: ProcessRef | null;
  readonly agentd: ProcessRef | null;
  /** Set once the demo has left it running on purpose. */
  readonly kept: boolean;
}

/** Where the record lies: in the checkout, because a root process must not trust a fixed name in /tmp. */
function stateFile(repo: string): string {
  return join(repo, '.cache/demo/state.json');
}

export function readState(repo: string): DemoState | null {
  try {
    return JSON.parse(readFileSync(stateFile(repo), 'utf8')) as DemoState;
  } catch {
    return null;
  }
}

export function writeState(repo: string, state: DemoState): void {
  const path = stateFile(repo);
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  writeFileSync(`${path}.new`, `${JSON.stringify(state)}\n`, { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

export function clearState(repo: string): void {
  rmSync(stateFile(repo), { force: true });
}
