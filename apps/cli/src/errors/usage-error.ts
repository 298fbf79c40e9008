import { CodedError } from '@mvm/protocol';

/** A call that the command cannot make sense of: exit code 2. */
export function usageError(message: string, hint: string): CodedError {
  return new CodedError({ code: 'invalid_argument', reason: 'cli.usage', message, hint });
}
