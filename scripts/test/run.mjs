import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { delimiter, join } from 'node:path';

/** @type {NodeJS.Signals[]} */
const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP'];

/**
 * Runs a command with this process's output; resolves with its exit status (128 + n for a signal, 127 when it
 * cannot be started). Never rejects. Signals that would end this process are passed on to the command meanwhile.
 * @param {string} command
 * @param {string[]} args
 * @param {{ cwd: string, env?: Record<string, string> }} options
 * @returns {Promise<number>}
 */
export function run(command, args, options) {
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: {
        ...process.env,
        // turbo looks for pnpm on the path, where `npm run` puts it.
        PATH: `${join(options.cwd, 'node_modules/.bin')}${delimiter}${process.env.PATH ?? ''}`,
        // Part of turbo's cache keys: what passed on one Node has not passed on another.
        MVM_NODE_VERSION: process.version,
        TURBO_TELEMETRY_DISABLED: '1',
        TURBO_NO_UPDATE_NOTIFIER: '1',
        ...options.env,
      },
      stdio: ['ignore', 'inherit', 'inherit'],
    });
    const forward = (/** @type {NodeJS.Signals} */ signal) => child.kill(signal);
    for (const signal of FORWARDED) process.on(signal, forward);
    const done = (/** @type {number} */ status) => {
      for (const signal of FORWARDED) process.off(signal, forward);
      resolve(status);
    };
    child.on('error', (error) => {
      process.stderr.write(`${command}: ${error.message}\n`);
      done(127);
    });
    child.on('exit', (code, signal) => done(code ?? 128 + (signal === null ? 1 : constants.signals[signal])));
  });
}
