import { join } from 'node:path';
import { execa } from 'execa';
import type { DemoPaths } from './paths.js';

/** The real command line tool, pointed at the demo's daemons. */
export interface Mvm {
  /** Runs it with the demo's own output and input; rejects with its exit status. */
  show(args: readonly string[]): Promise<void>;
  /** Runs it and resolves with what it printed on stdout; rejects with its messages. */
  read(args: readonly string[]): Promise<string>;
  readonly env: Readonly<Record<string, string>>;
}

/** @param cancelSignal ends a call that is under way */
export function createMvm(repo: string, paths: DemoPaths, cancelSignal: AbortSignal): Mvm {
  const program = join(repo, 'node_modules/.bin/mvm');
  const env = { MVM_SOCKET: paths.agentdSocket, MVM_STATE_DIR: paths.hostdState };
  return {
    env,
    async show(args) {
      await execa(program, args, {
        env,
        cancelSignal,
        stdin: 'ignore',
        stdout: 'inherit',
        stderr: 'inherit',
      });
    },
    async read(args) {
      const { stdout } = await execa(program, args, { env, cancelSignal, stdin: 'ignore' });
      return stdout;
    },
  };
}
