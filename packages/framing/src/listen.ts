import { chmodSync, fstatSync, lchownSync } from 'node:fs';
import type { Server } from 'node:net';
import { errnoOf } from '@mvm/errors';
import { FramingError } from './errors.js';
import { checkSocketPath } from './socket-path.js';
import { inUse, listenFailed, removeStaleSocket } from './stale-socket.js';

/** Where a server listens: a path of its own, or a descriptor that is listening already (socket activation). */
export type ListenTarget =
  | {
      /** At most 107 bytes; its directory must exist and be writable by its owner only. */
      readonly path: string;
      /** Permissions of the socket file; default 0600. */
      readonly mode?: number | undefined;
      /** Group of the socket file; default: the process's. */
      readonly gid?: number | undefined;
    }
  | { readonly fd: number };

/**
 * Starts listening. On a path, no process can connect before mode and group are set: the socket is bound without any
 * permission. The umask is changed for the length of one synchronous call, so this must run in the main thread.
 * Throws `socket.path_too_long`, `socket.path_invalid`, `socket.in_use`, `socket.path_occupied`, `socket.fd_invalid`,
 * `socket.listen_failed`; the server listens nowhere then.
 */
export async function startListening(server: Server, target: ListenTarget, backlog: number): Promise<void> {
  if ('fd' in target) return listenOnDescriptor(server, target.fd);
  const { path, mode = 0o600, gid } = target;
  checkSocketPath(path);
  await removeStaleSocket(path);
  const listening = untilListening(server);
  const umask = process.umask(0o777);
  try {
    server.listen({ path, backlog });
  } finally {
    process.umask(umask);
  }
  try {
    await listening;
  } catch (error) {
    throw errnoOf(error) === 'EADDRINUSE'
      ? inUse(path, 'EADDRINUSE')
      : listenFailed(path, 'listen on', error);
  }
  try {
    // PRIVILEGE: giving the socket to a group that this process is not in needs CAP_CHOWN.
    // SAFETY: bind() made this file just now, following no link, and its directory is the owner's alone.
    if (gid !== undefined) lchownSync(path, -1, gid);
    chmodSync(path, mode);
  } catch (error) {
    await new Promise((resolve) => server.close(resolve));
    throw listenFailed(path, 'set mode and group of', error);
  }
}

async function listenOnDescriptor(server: Server, fd: number): Promise<void> {
  if (!isSocket(fd)) {
    throw new FramingError({
      reason: 'socket.fd_invalid',
      message: `descriptor ${fd} is not a socket`,
      hint: 'pass a listening Unix socket, as systemd does from descriptor 3 on',
      details: { fd },
    });
  }
  const listening = untilListening(server);
  server.listen({ fd });
  try {
    await listening;
  } catch (error) {
    throw listenFailed(`descriptor ${fd}`, 'listen on', error);
  }
}

function isSocket(fd: number): boolean {
  try {
    return fstatSync(fd).isSocket();
  } catch {
    return false;
  }
}

function untilListening(server: Server): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void): void => {
      server.off('listening', onListening).off('error', onError);
      act();
    };
    const onListening = (): void => settle(resolve);
    const onError = (error: Error): void => settle(() => reject(error));
    server.on('listening', onListening).on('error', onError);
  });
}
