import { type ApiError, HTTP_STATUS, toApiError } from '@mvm/agentd-api';
import { CodedError, isCodedError } from '@mvm/protocol';
import { hasZodFastifySchemaValidationErrors } from 'fastify-type-provider-zod';

function requestError(reason: string, message: string, hint: string, cause: unknown): CodedError {
  return new CodedError({ code: 'invalid_argument', reason, message, hint, cause });
}

const DOCUMENT_HINT = 'GET /openapi.json describes every route.';

/** What fastify itself refuses, by its error code. */
function fromFastify(
  error: Error & { code: string; statusCode?: number },
): { status: number; error: CodedError } | null {
  const status = error.statusCode ?? 500;
  if (!error.code.startsWith('FST_') || status >= 500) return null;
  const reason = status === 413 ? 'request.too_large' : 'request.invalid';
  return { status, error: requestError(reason, error.message, DOCUMENT_HINT, error) };
}

function fromValidation(thrown: unknown): CodedError | null {
  if (!hasZodFastifySchemaValidationErrors(thrown)) return null;
  const [first] = thrown.validation;
  const field = first?.instancePath.replace(/^\//, '').replaceAll('/', '.') ?? '';
  const where = field === '' ? (thrown.validationContext ?? 'request') : field;
  return new CodedError({
    code: 'invalid_argument',
    reason: 'request.invalid',
    message: `${where}: ${first?.message ?? 'is not valid'}`,
    hint: DOCUMENT_HINT,
    details: { field: where },
  });
}

/** The HTTP status and body's error for anything that a handler or fastify threw; bugs become `internal`. */
export function answerFor(thrown: unknown): { status: number; error: ApiError; bug: boolean } {
  if (isCodedError(thrown))
    return { status: HTTP_STATUS[thrown.code], error: toApiError(thrown), bug: false };
  const invalid = fromValidation(thrown);
  if (invalid !== null) return { status: 400, error: toApiError(invalid), bug: false };
  if (thrown instanceof Error && 'code' in thrown && typeof thrown.code === 'string') {
    const known = fromFastify(thrown as Error & { code: string });
    if (known !== null) return { status: known.status, error: toApiError(known.error), bug: false };
  }
  return { status: 500, error: toApiError(thrown), bug: true };
}

/** The answer to a method and path that no route has. */
export function noRoute(method: string, url: string): CodedError {
  return new CodedError({
    code: 'not_found',
    reason: 'route.not_found',
    message: `there is no ${method} ${url.slice(0, 200)}`,
    hint: DOCUMENT_HINT,
  });
}
