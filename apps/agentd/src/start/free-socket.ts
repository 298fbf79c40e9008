import { lstatSync, renameSync, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { checkSocketPath } from '@mvm/agentd-api';
import { CodedError } from '@mvm/protocol';

function inUse(path: string): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'socket.in_use',
    message: `another process listens on ${path}`,
    hint: 'Stop that process first, or choose another --socket.',
    details: { path },
  });
}

/** What connecting gives: an errno, or `answered`. */
function probe(path: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const settle = (answer: string): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.on('connect', () => settle('answered'));
    socket.on('error', (error: NodeJS.ErrnoException) => settle(error.code ?? 'unknown'));
  });
}

/**
 * Make sure that a Unix socket can be bound at `path`: its length is checked, and a socket on which nobody answers any
 * more (a killed process leaves it) is removed. `failed_precondition`: `socket.in_use` when somebody answers,
 * `socket.path_occupied` for anything that is no socket; `invalid_argument` for a path that is too long.
 */
export async function freeSocketPath(path: string): Promise<void> {
  checkSocketPath(path);
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'socket.path_occupied',
      message: `${path} exists and is not a socket`,
      hint: 'Choose another --socket, or move that file away.',
      details: { path },
    });
  }
  if ((await probe(path)) !== 'ECONNREFUSED') throw inUse(path);
  // Moved aside before it is judged again, so that a socket bound in the meantime is not the one that goes.
  const aside = `${path}.stale-${process.pid}`;
  renameSync(path, aside);
  const moved = lstatSync(aside);
  if (moved.ino !== found.ino || moved.dev !== found.dev) {
    renameSync(aside, path);
    throw inUse(path);
  }
  unlinkSync(aside);
}
