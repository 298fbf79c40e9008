import { FramingError } from './errors.js';

/** Bytes of `sockaddr_un.sun_path` without its terminating NUL. Source: unix(7). */
export const MAX_SOCKET_PATH_BYTES = 107;

/**
 * Checks that a path can name a Unix socket: 1…107 bytes of UTF-8 without NUL (so no abstract names either).
 * Throws `invalid_argument`, reason `socket.path_too_long` or `socket.path_invalid`. The kernel's interface would cut a
 * longer path short, and the socket would stand under another name.
 */
export function checkSocketPath(path: string): void {
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_SOCKET_PATH_BYTES) {
    throw new FramingError({
      reason: 'socket.path_too_long',
      message: `the socket path ${path} is ${bytes} bytes long; at most ${MAX_SOCKET_PATH_BYTES} are possible`,
      hint: 'choose a shorter directory for the socket',
      details: { path, bytes, max_bytes: MAX_SOCKET_PATH_BYTES },
    });
  }
  if (bytes > 0 && !path.includes('\0')) return;
  throw new FramingError({
    reason: 'socket.path_invalid',
    message:
      bytes === 0
        ? 'the socket path is empty'
        : `the socket path ${JSON.stringify(path)} contains a NUL byte`,
    hint: 'name a file in an existing directory',
  });
}
