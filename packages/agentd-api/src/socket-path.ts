import { CodedError } from '@mvm/protocol';

/** Longest path of a Unix socket in bytes, without the closing zero. Source: unix(7), sun_path. */
export const MAX_SOCKET_PATH_BYTES = 107;

/**
 * The path itself when a Unix socket can have it; else `invalid_argument`, reason `socket.path_too_long` (the kernel
 * would cut it off and connect elsewhere) or `socket.path_invalid`.
 */
export function checkSocketPath(path: string): string {
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_SOCKET_PATH_BYTES) {
    throw new CodedError({
      code: 'invalid_argument',
      reason: 'socket.path_too_long',
      message: `the socket path ${path.slice(0, 120)} has ${bytes} bytes; a Unix socket's has at most ${MAX_SOCKET_PATH_BYTES}`,
      hint: 'Use a shorter path, for example one below /run or /tmp.',
      details: { bytes, limit: MAX_SOCKET_PATH_BYTES },
    });
  }
  if (path === '' || path.includes('\0')) {
    throw new CodedError({
      code: 'invalid_argument',
      reason: 'socket.path_invalid',
      message: 'the socket path is empty or holds a zero byte',
      hint: 'Give the path of a Unix socket, for example /run/mvm/agentd.sock.',
    });
  }
  return path;
}
