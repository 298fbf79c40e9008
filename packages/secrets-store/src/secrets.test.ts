import { isCodedError } from '@mvm/protocol';
import { describe, expect, it } from 'vitest';
import { parseSecrets, renderSecrets } from './document.js';
import { checkSizes, parseSecretName, selectSecrets } from './names.js';

const reasonOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    if (isCodedError(error)) return error.reason;
    throw error;
  }
  return 'none';
};

describe('selectSecrets', () => {
  const secrets = new Map([
    ['db.user', 'u'],
    ['db.password', 'p'],
    ['token', 't'],
  ]);
  it.each([
    [[], []],
    [['token'], ['token']],
    [['db.*'], ['db.password', 'db.user']],
    [['*'], ['db.password', 'db.user', 'token']],
    [
      ['token', 'db.user', 'token'],
      ['db.user', 'token'],
    ],
    [['nothing.*'], []],
  ])('%j selects %j', (scopes, names) => {
    expect([...selectSecrets(secrets, scopes).keys()]).toEqual(names);
  });

  it('refuses a name that the tenant does not have', () => {
    expect(reasonOf(() => selectSecrets(secrets, ['token', 'nothing']))).toBe('secrets.missing');
    expect(reasonOf(() => selectSecrets(secrets, ['db']))).toBe('secrets.missing');
  });
});

describe('names', () => {
  it.each(['a', 'DB_PASSWORD', '_x', 'tls.key', 'a-b', '0'])('%s is one', (name) =>
    expect(parseSecretName(name)).toBe(name),
  );
  it.each(['', '.x', '-x', 'a/b', '..', 'a b', 'a\n', 'é', 'secrets.json', 'x'.repeat(129), 'a*'])(
    '%j is none',
    (name) => expect(reasonOf(() => parseSecretName(name))).toBe('secrets.invalid_name'),
  );
});

describe('parseSecrets', () => {
  it('takes strings as they are and other values as JSON, and writes what it reads', () => {
    const secrets = parseSecrets('{"b":"x\\ny","a":{"n":[1,null]},"c":7}', 'f');
    expect(Object.fromEntries(secrets)).toEqual({ b: 'x\ny', a: '{"n":[1,null]}', c: '7' });
    expect(parseSecrets(renderSecrets(secrets), 'f')).toEqual(new Map([...secrets].sort()));
  });

  it.each(['', '{"token":hunter2}', '["hunter2"]', '"hunter2"', '{"a b":"hunter2"}', '{"../x":"hunter2"}'])(
    'refuses %j without repeating any of it',
    (text) => {
      expect(reasonOf(() => parseSecrets(text, 'f'))).toBe('secrets.damaged');
      try {
        parseSecrets(text, 'f');
      } catch (error) {
        const { message, details, hint, cause } = error as { [name: string]: unknown };
        expect(JSON.stringify({ message, details, hint, cause: String(cause) })).not.toMatch(
          /hunter2|\.\.\//,
        );
      }
    },
  );

  it('has limits', () => {
    expect(reasonOf(() => checkSizes(new Map([['a', 'x'.repeat(65_537)]])))).toBe('secrets.too_large');
    const many = new Map(Array.from({ length: 257 }, (_, index) => [`s${index}`, 'x'] as const));
    expect(reasonOf(() => checkSizes(many))).toBe('secrets.too_large');
    const big = new Map(Array.from({ length: 17 }, (_, index) => [`s${index}`, 'x'.repeat(65_536)] as const));
    expect(reasonOf(() => checkSizes(big))).toBe('secrets.too_large');
    checkSizes(new Map([['a', 'é'.repeat(32_768)]]));
  });
});
