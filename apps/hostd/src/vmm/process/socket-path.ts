import { MAX_SOCKET_PATH_BYTES } from '@mvm/framing';
import { CodedError } from '@mvm/protocol';

/**
 * Returns the path when a Unix socket can have it: Node.js cuts longer ones off silently. Throws `failed_precondition`,
 * reason `vmm.socket_path_too_long`.
 */
export function checkSocketPath(path: string): string {
  const bytes = Buffer.byteLength(path, 'utf8');
  if (bytes > MAX_SOCKET_PATH_BYTES) {
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'vmm.socket_path_too_long',
      message: `${path} has ${bytes} bytes, a Unix socket's path at most ${MAX_SOCKET_PATH_BYTES}`,
      hint: 'Give hostd a shorter --run-dir.',
      details: { bytes, limit: MAX_SOCKET_PATH_BYTES },
    });
  }
  return path;
}
