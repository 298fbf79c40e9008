import { checkSocketPath, isFramingError, removeStaleSocket } from '@mvm/framing';
import { CodedError } from '@mvm/protocol';

/**
 * Make sure that a Unix socket can be bound at `path`: its length is checked, and a socket without a listener, or one that does not answer any
 * more (a killed process leaves it) is removed. `failed_precondition`: `socket.in_use` when a process answers,
 * `socket.path_occupied` for anything that is no socket; `invalid_argument` for a path that is too long.
 */
export async function freeSocketPath(path: string): Promise<void> {
  try {
    checkSocketPath(path);
    await removeStaleSocket(path);
  } catch (error) {
    if (!isFramingError(error)) throw error;
    const { code, reason, message, hint, details } = error;
    throw new CodedError({ code, reason, message, hint, details, cause: error });
  }
}
