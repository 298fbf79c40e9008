import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * Starts one of the servers beside this file and waits until it says that it is up.
 * @param {string} script
 * @param {string} socketPath
 */
export async function startServer(script, socketPath) {
  const child = spawn(process.execPath, [script, socketPath], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  await Promise.race([
    once(child.stdout, 'data'),
    exited.then(() => Promise.reject(new Error(`${script} ended before it was up`))),
  ]);
  return {
    async stop() {
      child.kill('SIGTERM');
      await exited;
    },
  };
}
