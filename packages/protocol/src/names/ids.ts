import { CodedError, quoteForMessage } from '@mvm/errors';

const ID_PATTERN = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;

/**
 * Whether `text` is an id of a tenant, pool or instance: 1–63 characters of `a-z 0-9 -`, no hyphen at either end.
 * Such a text is safe as one path component and inside an interface's description. Source: docs/protocol.md#ids.
 */
export function isValidId(text: string): boolean {
  return ID_PATTERN.test(text);
}

function parseId(kind: 'Tenant' | 'Pool' | 'Instance', text: string): string {
  if (typeof text === 'string' && isValidId(text)) return text;
  throw new CodedError({
    code: 'invalid_argument',
    reason: 'id.invalid',
    message: `${kind} id ${quoteForMessage(String(text))} is not valid`,
    details: { kind: kind.toLowerCase() },
    hint: 'Use 1 to 63 characters of a-z, 0-9 and "-", with no hyphen at either end.',
  });
}

/** The id itself when it follows the grammar; else `invalid_argument`, reason `id.invalid`, with `Tenant` in the message. */
export function parseTenantId(text: string): string {
  return parseId('Tenant', text);
}

/** The id itself when it follows the grammar; else `invalid_argument`, reason `id.invalid`, with `Pool` in the message. */
export function parsePoolId(text: string): string {
  return parseId('Pool', text);
}

/** The id itself when it follows the grammar; else `invalid_argument`, reason `id.invalid`, with `Instance` in the message. */
export function parseInstanceId(text: string): string {
  return parseId('Instance', text);
}

/** `i-` and 8 hex digits, made of the first four of `random`'s bytes; the caller supplies the randomness. */
export function generateInstanceId(random: Uint8Array): string {
  if (random.length < 4) throw new RangeError('an instance id needs 4 random bytes');
  let hex = '';
  for (const byte of random.subarray(0, 4)) hex += byte.toString(16).padStart(2, '0');
  return `i-${hex}`;
}
