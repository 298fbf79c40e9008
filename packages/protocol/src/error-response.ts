import { CodedError, ERROR_CODES, type ErrorCode, type ErrorDetails, toCodedError } from '@mvm/errors';
import type { V2Response } from './v2/responses.js';

/** The Error response of version 2; one of version 1 is one without the optional fields. */
export type ErrorResponse = Extract<V2Response, { type: 'Error' }>;

/** Bounds, in UTF-16 units, that keep any Error well under the frame limit. */
const MAX_MESSAGE = 65_536;
const MAX_SHORT_TEXT = 4096;
const MAX_DETAILS = 64;

function printable(text: string, max: number): string {
  const cut = text.length > max ? `${text.slice(0, max - 1)}…` : text;
  return cut.replace(/\p{Surrogate}/gu, '\uFFFD');
}

function printableDetails(details: ErrorDetails): ErrorDetails {
  const entries = Object.entries(details).slice(0, MAX_DETAILS);
  return Object.fromEntries(
    entries.map(([name, value]) => {
      const shown =
        typeof value === 'string'
          ? printable(value, MAX_SHORT_TEXT)
          : typeof value === 'number' && !Number.isFinite(value)
            ? null
            : value;
      return [printable(name, MAX_SHORT_TEXT), shown];
    }),
  );
}

/**
 * Any thrown value as the response that crosses the socket: code, reason, retry, message, details and hint, never a
 * stack or a cause. Texts are cut to bounds and made well-formed, so that the result can always be encoded. A version 1
 * codec writes the message only.
 */
export function errorToResponse(error: unknown): ErrorResponse {
  const coded = toCodedError(error);
  const response: ErrorResponse = {
    type: 'Error',
    message: printable(coded.message, MAX_MESSAGE),
    code: coded.code,
    reason: printable(coded.reason, MAX_SHORT_TEXT),
    retry: coded.retry,
  };
  const details = printableDetails(coded.details);
  if (Object.keys(details).length > 0) response.details = { ...details };
  if (coded.hint !== undefined) response.hint = printable(coded.hint, MAX_SHORT_TEXT);
  return response;
}

function isErrorCode(code: string | undefined): code is ErrorCode {
  return code !== undefined && Object.hasOwn(ERROR_CODES, code);
}

/**
 * An Error response as the error to throw. A version 1 peer names no code, and a newer peer may name one that is not
 * known here: both become `internal`, with the peer's reason or else `peer.error`; the retry class is that of the code.
 */
export function errorFromResponse(response: ErrorResponse): CodedError {
  return new CodedError({
    code: isErrorCode(response.code) ? response.code : 'internal',
    reason: response.reason ?? 'peer.error',
    message: response.message,
    details: response.details,
    hint: response.hint,
  });
}
