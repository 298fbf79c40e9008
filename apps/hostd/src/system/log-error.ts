import { isCodedError } from '@mvm/protocol';

/** An error as logs show it: what a caller did wrong without a stack, what is our bug or the host's fault with it. */
export function errorForLog(error: unknown): object {
  if (!(error instanceof Error)) return { message: String(error) };
  if (!isCodedError(error)) return { type: error.name, message: error.message, stack: error.stack };
  const { code, reason, message, details, hint } = error;
  const base = { code, reason, message, details, hint };
  if (code !== 'internal') return base;
  const { cause } = error;
  return { ...base, stack: cause instanceof Error ? cause.stack : error.stack };
}
