import { describe, expect, it } from 'vitest';
import { generateInstanceId, isValidId, parseInstanceId, parsePoolId, parseTenantId } from './ids.js';

const good = ['a', '0', 'acme', 'a-b', 'a--b', 'i-a3f7b2c1', 'a'.repeat(63)];
const bad = [
  '',
  '-',
  '-a',
  'a-',
  'a'.repeat(64),
  'A',
  'a_b',
  'a.b',
  '..',
  '../x',
  'a/b',
  'a;rm',
  'a b',
  'a\n',
  '\na',
  'a\u0000',
  'é',
  'a\u0660',
  '１',
  'а', // Cyrillic
];

describe('ids', () => {
  it.each(good)('accepts %j', (id) => {
    expect(isValidId(id)).toBe(true);
    expect([parseTenantId(id), parsePoolId(id), parseInstanceId(id)]).toEqual([id, id, id]);
  });

  it.each(bad)('refuses %j, naming the kind', (id) => {
    expect(isValidId(id)).toBe(false);
    for (const [parse, kind] of [
      [parseTenantId, 'Tenant'],
      [parsePoolId, 'Pool'],
      [parseInstanceId, 'Instance'],
    ] as const) {
      expect(() => parse(id)).toThrow(
        expect.objectContaining({
          code: 'invalid_argument',
          reason: 'id.invalid',
          retry: 'never',
          message: expect.stringMatching(new RegExp(`^${kind} id "[\\x20-\\x7e…]*" is not valid$`)),
        }),
      );
    }
  });

  it('repeats at most the beginning of a long value', () => {
    expect(() => parseTenantId('x'.repeat(1_000_000))).toThrow(/^Tenant id "x{64}…" is not valid$/);
  });

  it('refuses what is not a text', () => {
    expect(() => parseTenantId(undefined as unknown as string)).toThrow(/Tenant id "undefined"/);
    expect(() => parseTenantId(['acme'] as unknown as string)).toThrow(/Tenant/);
  });

  it('generates i- and eight hex digits', () => {
    expect(generateInstanceId(new Uint8Array([0xa3, 0xf7, 0x02, 0xc1, 0xff]))).toBe('i-a3f702c1');
    expect(isValidId(generateInstanceId(new Uint8Array(4)))).toBe(true);
    expect(() => generateInstanceId(new Uint8Array(3))).toThrow(RangeError);
  });
});
