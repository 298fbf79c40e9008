import { CodedError } from '@mvm/protocol';

/** The error with its prefix; a malformed id is not a failed operation and has none. */
export function withFailurePrefix(error: CodedError, prefix: string | null): CodedError {
  if (prefix === null || error.reason === 'id.invalid') return error;
  const { code, reason, hint, details } = error;
  return new CodedError({ code, reason, hint, details, message: prefix + error.message, cause: error });
}
