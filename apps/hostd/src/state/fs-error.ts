import { errnoOf } from '@mvm/errors';
import { CodedError, isCodedError } from '@mvm/protocol';

export { errnoOf } from '@mvm/errors';

/**
 * A failed file operation as CodedError: `resource_exhausted` `state.no_space` (ENOSPC, EDQUOT),
 * `failed_precondition` `state.read_only` (EROFS), else `internal` `state.io_error`. CodedErrors pass through.
 */
export function fromFileError(error: unknown, doing: string): CodedError {
  if (isCodedError(error)) return error;
  const errno = errnoOf(error);
  const text = error instanceof Error ? error.message : String(error);
  if (errno === 'ENOSPC' || errno === 'EDQUOT') {
    return new CodedError({
      code: 'resource_exhausted',
      reason: 'state.no_space',
      message: `${doing}: no space left on the state disk`,
      hint: 'Free space on the file system that holds the state directory (df -h and df -i tell which is short), then repeat the request. mvm instance stop, mvm instance destroy and mvm image remove work on a full disk too.',
      details: { errno },
      cause: error,
    });
  }
  if (errno === 'EROFS') {
    return new CodedError({
      code: 'failed_precondition',
      reason: 'state.read_only',
      message: `${doing}: the state disk is mounted read-only`,
      hint: 'Look for disk errors in the kernel log, then mount it read-write again.',
      details: { errno },
      cause: error,
    });
  }
  return new CodedError({
    code: 'internal',
    reason: 'state.io_error',
    message: `${doing}: ${text}`,
    hint: 'Look for disk errors in the kernel log, and at what else uses the state directory, then repeat the request.',
    details: { errno },
    cause: error,
  });
}
