import { linkSync, lstatSync, renameSync, type Stats, unlinkSync } from 'node:fs';
import { connect } from 'node:net';
import { errnoOf, FramingError } from './errors.js';

/**
 * Removes a socket file on which nobody answers, so that its path can be bound again. Does nothing when nothing is
 * there. Never removes a socket that somebody bound between the question and the removal: the file is moved aside
 * first, and put back when it is not the one that was asked.
 * Throws `failed_precondition`: `socket.in_use` when somebody answers, or may; `socket.path_occupied` for anything that
 * is no socket.
 */
export async function removeStaleSocket(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new FramingError({
      reason: 'socket.path_occupied',
      message: `${path} exists and is not a socket`,
      hint: 'choose another socket path, or move that file away',
      details: { path },
    });
  }
  const answer = await probe(path);
  if (answer === 'ENOENT') return;
  if (answer !== 'ECONNREFUSED') throw inUse(path, answer);
  takeAway(path, found);
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
    socket.on('error', (error) => settle(errnoOf(error) ?? 'unknown'));
  });
}

function takeAway(path: string, asked: Stats): void {
  const aside = `${path}.stale-${process.pid}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return;
    throw listenFailed(path, 'remove the stale socket', error);
  }
  const moved = lstatSync(aside);
  if (moved.ino !== asked.ino || moved.dev !== asked.dev) {
    linkSync(aside, path);
    unlinkSync(aside);
    throw inUse(path, 'replaced');
  }
  unlinkSync(aside);
}

/** `socket.in_use`; `answer` is what the probe saw. */
export function inUse(path: string, answer: string): FramingError {
  return new FramingError({
    reason: 'socket.in_use',
    message: `another process listens on ${path}`,
    hint: 'stop that process first, or choose another socket path',
    details: { path, answer },
  });
}

/** `socket.listen_failed`, with the errno. */
export function listenFailed(path: string, action: string, cause: unknown): FramingError {
  const errno = errnoOf(cause);
  return new FramingError({
    reason: 'socket.listen_failed',
    message: `cannot ${action} ${path}${errno === null ? '' : ` (${errno})`}`,
    hint: 'check that the directory exists and that this process may write to it and give files to the group',
    details: { path, errno },
    cause,
  });
}
