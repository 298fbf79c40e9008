import { CodedError } from '@mvm/protocol';

/** `failed_precondition`, reason `kernel.unusable`: what a guest boots from cannot be had or used on this host. */
export function kernelUnusable(message: string, hint: string, cause?: unknown): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'kernel.unusable',
    message,
    hint,
    ...(cause === undefined ? {} : { cause }),
  });
}
