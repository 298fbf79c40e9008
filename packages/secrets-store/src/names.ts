import { CodedError } from '@mvm/protocol';

/** Longest name of a secret. */
const MAX_NAME_LENGTH = 128;
/** Largest value in bytes. */
export const MAX_VALUE_BYTES = 65_536;
/** Values of one tenant together, in bytes. */
export const MAX_TOTAL_BYTES = 1_048_576;
/** Secrets of one tenant. */
export const MAX_SECRETS = 256;

/** The file beside the secrets' own that holds all of them; no secret has this name. */
export const ALL_SECRETS_NAME = 'secrets.json';

/** A tenant's secrets by name. */
export type Secrets = ReadonlyMap<string, string>;

/**
 * A secret's name, which is also a file's in the guest: `A-Z a-z 0-9 _ . -`, not beginning with a dot or hyphen. Throws
 * `invalid_argument`, reason `secrets.invalid_name`.
 */
export function parseSecretName(name: string): string {
  if (
    /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(name) &&
    name.length <= MAX_NAME_LENGTH &&
    name !== ALL_SECRETS_NAME
  )
    return name;
  throw new CodedError({
    code: 'invalid_argument',
    reason: 'secrets.invalid_name',
    message: `${JSON.stringify(name.slice(0, 80))} is not a name for a secret`,
    hint: `Use at most ${MAX_NAME_LENGTH} of A-Z a-z 0-9 _ . -, beginning with a letter, digit or _; ${ALL_SECRETS_NAME} is taken.`,
  });
}

/**
 * The secrets that a pool's scopes let its guests have, sorted by name. A scope is a secret's name, or the beginning of
 * names followed by `*`. Throws `failed_precondition`, reason `secrets.missing`, for a name that there is no secret of.
 */
export function selectSecrets(secrets: Secrets, scopes: readonly string[]): Map<string, string> {
  const selected = new Map<string, string>();
  for (const scope of scopes) {
    const prefix = scope.endsWith('*') ? scope.slice(0, -1) : null;
    if (prefix === null && !secrets.has(scope)) throw missing(scope);
    for (const [name, value] of secrets) {
      if (prefix === null ? name === scope : name.startsWith(prefix)) selected.set(name, value);
    }
  }
  return new Map([...selected].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Throws `invalid_argument`, reason `secrets.too_large`, naming the limit and never a value. */
export function checkSizes(secrets: Secrets): void {
  let total = 0;
  for (const [name, value] of secrets) {
    const bytes = new TextEncoder().encode(value).length;
    if (bytes > MAX_VALUE_BYTES) throw tooLarge(`secret ${name} has ${bytes} bytes`, MAX_VALUE_BYTES);
    total += bytes;
  }
  if (total > MAX_TOTAL_BYTES) throw tooLarge(`the tenant’s secrets have ${total} bytes`, MAX_TOTAL_BYTES);
  if (secrets.size > MAX_SECRETS) throw tooLarge(`the tenant has ${secrets.size} secrets`, MAX_SECRETS);
}

function tooLarge(what: string, limit: number): CodedError {
  return new CodedError({
    code: 'invalid_argument',
    reason: 'secrets.too_large',
    message: `${what}, and the limit is ${limit}`,
    hint: 'Secrets are for keys and passwords; give larger things to the guest in its image or on its data volume.',
  });
}

function missing(scope: string): CodedError {
  const name = JSON.stringify(scope.slice(0, 128));
  return new CodedError({
    code: 'failed_precondition',
    reason: 'secrets.missing',
    message: `the pool asks for the secret ${name}, and the tenant has none of that name`,
    hint: 'Set it as root (mvm secret set), or take it out of the pool’s secret_scopes.',
    details: { scope: scope.slice(0, 128) },
  });
}
