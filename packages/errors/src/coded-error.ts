/**
 * The closed list of error codes, with what a caller may do (`retry`) and the exit code of the `mvm` tool.
 * Source: docs/errors.md.
 */
export const ERROR_CODES = {
  internal: { retry: 'never', exitCode: 1 },
  invalid_argument: { retry: 'never', exitCode: 2 },
  not_found: { retry: 'after-change', exitCode: 3 },
  failed_precondition: { retry: 'after-change', exitCode: 4 },
  already_exists: { retry: 'after-change', exitCode: 4 },
  aborted: { retry: 'after-change', exitCode: 4 },
  permission_denied: { retry: 'never', exitCode: 5 },
  unavailable: { retry: 'backoff', exitCode: 6 },
  resource_exhausted: { retry: 'backoff', exitCode: 7 },
  protocol_mismatch: { retry: 'never', exitCode: 8 },
  unimplemented: { retry: 'never', exitCode: 8 },
  deadline_exceeded: { retry: 'backoff', exitCode: 124 },
  canceled: { retry: 'never', exitCode: 130 },
} as const satisfies Record<string, { retry: RetryClass; exitCode: number }>;

export type ErrorCode = keyof typeof ERROR_CODES;
/** `never`: the same call fails again; `backoff`: may succeed later; `after-change`: once the state differs. */
export type RetryClass = 'never' | 'backoff' | 'after-change';
/** What `details` may hold: flat, printable, never a secret. */
export type ErrorDetails = Readonly<Record<string, string | number | boolean | null>>;

export interface CodedErrorInit {
  readonly code: ErrorCode;
  /** Specific and stable, `<area>.<what>`, e.g. `instance.invalid_transition`. */
  readonly reason: string;
  /** What happened, to which object. */
  readonly message: string;
  /** What to do next. */
  readonly hint?: string | undefined;
  readonly details?: ErrorDetails | undefined;
  readonly cause?: unknown;
}

// Identified by brand, so that two copies of this package in one process recognise each other's errors.
const BRAND = Symbol.for('mvm.CodedError');

/** The one error class that crosses component boundaries, with its subclasses; anything else thrown is a bug. */
export class CodedError extends Error {
  override readonly name: string = 'CodedError';
  readonly code: ErrorCode;
  readonly reason: string;
  readonly retry: RetryClass;
  readonly details: ErrorDetails;
  readonly hint: string | undefined;

  constructor(init: CodedErrorInit) {
    super(init.message, init.cause === undefined ? undefined : { cause: init.cause });
    this.code = init.code;
    this.reason = init.reason;
    this.retry = ERROR_CODES[init.code].retry;
    this.details = init.details ?? {};
    this.hint = init.hint;
    Object.defineProperty(this, BRAND, { value: true });
  }
}

/** Whether a thrown value carries code, reason and retry class, whichever copy of the class made it. */
export function isCodedError(value: unknown): value is CodedError {
  return value instanceof Error && (value as { [BRAND]?: unknown })[BRAND] === true;
}

function describeThrown(value: unknown): string {
  if (value instanceof Error) return value.message;
  try {
    return String(value);
  } catch {
    return 'a value that cannot be shown was thrown';
  }
}

/** Any thrown value as a CodedError; what is not one already becomes `internal`, reason `internal.unexpected`. */
export function toCodedError(value: unknown): CodedError {
  if (isCodedError(value)) return value;
  return new CodedError({
    code: 'internal',
    reason: 'internal.unexpected',
    message: describeThrown(value),
    cause: value,
  });
}

/** The errno name of a Node.js system error (`ENOENT`, `ECONNREFUSED`, …), or null for anything else. */
export function errnoOf(value: unknown): string | null {
  if (!(value instanceof Error)) return null;
  const { code } = value as { code?: unknown };
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : null;
}
