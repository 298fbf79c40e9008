import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const hostd = fileURLToPath(new URL('../../../apps/hostd/', import.meta.url));

/**
 * Starts one of the servers beside this file.
 * @param {string} name
 * @param {string} socketPath
 */
export function startScript(name, socketPath) {
  const script = fileURLToPath(new URL(name, import.meta.url));
  return startServer(process.execPath, [script, socketPath], socketPath);
}

/** Whether the real hostd can be started here: it is built, and we are root. */
export function canStartHostd() {
  return existsSync(join(hostd, 'dist/main.js')) && process.geteuid?.() === 0;
}

/**
 * Starts the real hostd, in network and mount namespaces of its own: it sets the host's network up.
 * @param {string} socketPath
 */
export function startHostd(socketPath) {
  const dir = dirname(socketPath);
  const args = [
    ...[
      '--net',
      '--mount',
      '--propagation',
      'private',
      '--',
      process.execPath,
      join(hostd, 'bin/mvm-hostd.js'),
    ],
    ...['serve', '--socket', socketPath, '--state-dir', join(dir, 'state'), '--run-dir', join(dir, 'run')],
    ...['--cgroup-parent', `mvm-ping-bench-${process.pid}`, '--group', 'root', '--log-level', 'warn'],
  ];
  return startServer('unshare', args, socketPath);
}

/**
 * Starts a server and waits until it accepts connections.
 * @param {string} command
 * @param {string[]} args
 * @param {string} socketPath
 */
async function startServer(command, args, socketPath) {
  const child = spawn(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  let gone = false;
  const exited = new Promise((resolve) => child.once('exit', resolve)).then(() => {
    gone = true;
  });
  for (const deadline = performance.now() + 20_000; !(await accepts(socketPath)); ) {
    if (gone || performance.now() > deadline) {
      child.kill('SIGKILL');
      throw new Error(`${command} ${args[0]} did not start to listen`);
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return {
    async stop() {
      child.kill('SIGTERM');
      await exited;
    },
  };
}

/**
 * @param {string} path
 * @returns {Promise<boolean>}
 */
function accepts(path) {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on('connect', () => resolve(true)).on('error', () => resolve(false));
    socket.on('connect', () => socket.destroy());
  });
}
