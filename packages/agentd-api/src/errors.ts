import { CodedError, ERROR_CODES, type ErrorCode, toCodedError } from '@mvm/protocol';
import { z } from 'zod';

const errorCodes = Object.keys(ERROR_CODES) as [ErrorCode, ...ErrorCode[]];

/** An error as agentd's API shows it, in bodies and inside reports: never a stack, never a secret. */
export const apiErrorSchema = z.object({
  code: z.enum(errorCodes),
  /** Specific and stable, `<area>.<what>`, e.g. `hostd.unreachable`. */
  reason: z.string(),
  retry: z.enum(['never', 'backoff', 'after-change']),
  message: z.string(),
  details: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
  /** What to do next; null when there is nothing to add. */
  hint: z.string().nullable(),
});
export type ApiError = z.infer<typeof apiErrorSchema>;

/** The body of every answer that is not 2xx. */
export const errorBodySchema = z.object({ error: apiErrorSchema });

/** The HTTP status of each error code; the code, not the status, is what a client acts on. */
export const HTTP_STATUS = {
  invalid_argument: 400,
  permission_denied: 403,
  not_found: 404,
  failed_precondition: 409,
  already_exists: 409,
  aborted: 409,
  resource_exhausted: 429,
  canceled: 499,
  internal: 500,
  unimplemented: 501,
  protocol_mismatch: 502,
  unavailable: 503,
  deadline_exceeded: 504,
} as const satisfies Record<ErrorCode, number>;

/** Any thrown value as the API shows it. */
export function toApiError(thrown: unknown): ApiError {
  const error = toCodedError(thrown);
  return {
    code: error.code,
    reason: error.reason,
    retry: error.retry,
    message: error.message,
    details: { ...error.details },
    hint: error.hint ?? null,
  };
}

/** The error that an API body or report describes, to be thrown on this side. */
export function fromApiError(error: ApiError): CodedError {
  return new CodedError({
    code: error.code,
    reason: error.reason,
    message: error.message,
    details: error.details,
    ...(error.hint === null ? {} : { hint: error.hint }),
  });
}
