import {
  closeSync,
  constants,
  fstatSync,
  linkSync,
  lstatSync,
  openSync,
  renameSync,
  type Stats,
  unlinkSync,
} from 'node:fs';
import { connect } from 'node:net';
import { errnoOf } from '@mvm/errors';
import { FramingError, isFramingError } from './errors.js';

// Not among Node's constants. Source: open(2), asm-generic/fcntl.h.
const O_PATH = 0o10000000;

/**
 * Removes a socket file without a listener, so that its path can be bound again. Does nothing when nothing is
 * there. Never removes a socket that was bound between the question and the removal: the file is moved aside
 * first, and put back when it is not the one that was asked.
 * Throws `failed_precondition`: `socket.in_use` when a process answers, or may; `socket.path_occupied` for anything that
 * is no socket.
 */
export async function removeStaleSocket(path: string): Promise<void> {
  const held = holdFile(path);
  if (held === null) return;
  try {
    const found = fstatSync(held);
    if (!found.isSocket()) throw occupied(path);
    const answer = await probe(path);
    if (answer === 'ENOENT') return;
    if (answer !== 'ECONNREFUSED') throw inUse(path, answer);
    takeAway(path, found);
  } finally {
    closeSync(held);
  }
}

/** Descriptor of whatever stands at the path, opened for nothing; null when nothing does. */
function holdFile(path: string): number | null {
  try {
    // While it is open, the kernel gives its inode number to no other file, so that the number tells files apart.
    return openSync(path, O_PATH | constants.O_NOFOLLOW);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return null;
    throw listenFailed(path, 'look at', error);
  }
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
    if (!isSame(lstatSync(path), asked)) throw inUse(path, 'replaced');
    renameSync(path, aside);
    if (!isSame(lstatSync(aside), asked)) {
      linkSync(aside, path);
      unlinkSync(aside);
      throw inUse(path, 'replaced');
    }
    unlinkSync(aside);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return;
    throw isFramingError(error) ? error : listenFailed(path, 'remove the stale socket', error);
  }
}

function isSame(one: Stats, other: Stats): boolean {
  return one.ino === other.ino && one.dev === other.dev;
}

function occupied(path: string): FramingError {
  return new FramingError({
    reason: 'socket.path_occupied',
    message: `${path} exists and is not a socket`,
    hint: 'choose another socket path, or move that file away',
    details: { path },
  });
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
