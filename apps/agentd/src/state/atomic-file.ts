import * as files from '@mvm/node-host';
import { CodedError } from '@mvm/protocol';

function stateError(action: string, path: string, cause: unknown): CodedError {
  const errno = cause instanceof Error ? ((cause as NodeJS.ErrnoException).code ?? null) : null;
  return new CodedError({
    code: errno === 'ENOSPC' || errno === 'EDQUOT' ? 'resource_exhausted' : 'unavailable',
    reason: 'state.io_failed',
    message: `cannot ${action} ${path}: ${errno ?? String(cause)}`,
    hint: 'Check that the state directory exists, belongs to the user that runs mvm-agentd, and has free space.',
    details: { path, errno },
    cause,
  });
}

/** Replace a file of the state; see `writeFileAtomic` of node-host. Throws `state.io_failed`. */
export async function writeFileAtomic(path: string, text: string): Promise<void> {
  await files.writeFileAtomic(path, text).catch((error: unknown) => {
    throw stateError('write', path, error);
  });
}

/** The text of a file, or null when there is none. Throws `state.io_failed`. */
export async function readIfThere(path: string): Promise<string | null> {
  return files.readFileIfThere(path).catch((error: unknown) => {
    throw stateError('read', path, error);
  });
}
