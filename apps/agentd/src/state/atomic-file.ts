import { open, readFile, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { CodedError } from '@mvm/protocol';

let sequence = 0;

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

/**
 * Replace a file so that after a crash at any time the old text or the new one is there: temporary file beside it,
 * written, fsynced, renamed, directory fsynced. Mode 0600. On error nothing has changed. Source: fsync(2), rename(2).
 */
export async function writeFileAtomic(path: string, text: string): Promise<void> {
  sequence += 1;
  const temporary = join(dirname(path), `.${basename(path)}.tmp-${process.pid}-${sequence}`);
  try {
    const file = await open(temporary, 'wx', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
    const directory = await open(dirname(path), 'r');
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => {});
    throw stateError('write', path, error);
  }
}

/** The text of a file, or null when there is none. */
export async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && (error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw stateError('read', path, error);
  }
}
