import { type CodedError, ERROR_CODES } from '@mvm/protocol';

/** Exit code of a call that the user broke off. */
export const INTERRUPTED_EXIT_CODE = 130;

/** The host is as desired, except for instances that an operator holds. */
export const HELD_EXIT_CODE = 9;
/** The host is on its way to the desired state. */
export const CONVERGING_EXIT_CODE = 10;

/** The exit code that stands for an error; the table is in docs/errors.md. */
export function exitCodeOf(error: Pick<CodedError, 'code'>): number {
  return ERROR_CODES[error.code]?.exitCode ?? 1;
}
