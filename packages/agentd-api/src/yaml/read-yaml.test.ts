import { describe, expect, it } from 'vitest';
import { readYaml } from './read-yaml.js';

const read = (text: string): unknown => {
  const reading = readYaml(text);
  return 'value' in reading ? reading.value : reading.findings;
};

describe('anchors', () => {
  it('may be used as often as one likes: 4,000 tenants share their quotas', () => {
    const users = Array.from({ length: 4000 }, (_, i) => `  - { tenant_id: t${i}, quotas: *q }`);
    const text = ['x-quotas: &q { max_vcpus: 4, max_running: 2 }', 'tenants:', ...users].join('\n');
    const value = read(text) as { tenants: { quotas: object }[] };
    expect(value.tenants).toHaveLength(4000);
    expect(value.tenants[3999]?.quotas).toEqual({ max_vcpus: 4, max_running: 2 });
  });

  it('that expand to too much are refused, with the line, and without expanding them', () => {
    const level = (i: number): string =>
      `x${i}: &a${i} [${Array(10)
        .fill(`*a${i - 1}`)
        .join(', ')}]`;
    const bomb = ['x0: &a0 [a, b, c]', ...Array.from({ length: 12 }, (_, i) => level(i + 1))].join('\n');
    expect(read(bomb)).toMatchObject([{ line: 8, message: expect.stringContaining('expand to more than') }]);
  });

  it('that expand to a long text are refused', () => {
    const text = `x0: &a ${'y'.repeat(100_000)}\nx1: [${Array(700).fill('*a').join(', ')}]`;
    expect(read(text)).toMatchObject([{ message: expect.stringContaining('characters') }]);
  });

  it('that contain themselves are refused, with the line', () => {
    expect(read('a: 1\nb: &b\n  c: *b\n')).toMatchObject([
      { line: 3, message: expect.stringContaining('contains itself') },
    ]);
  });
});

it('merge keys are taken, and x- fields of the top level are left out', () => {
  const text = 'x-base: &b { a: 1, b: 2 }\ntenant:\n  <<: *b\n  b: 3\n  x-inner: 4\n';
  expect(read(text)).toEqual({ tenant: { a: 1, b: 3, 'x-inner': 4 } });
});

it('an unknown tag is refused, with its line, and is no text', () => {
  expect(read('a: 1\nflake_ref: !env IMAGE\n')).toMatchObject([
    { line: 2, message: expect.stringContaining('!env') },
  ]);
});

it('a trailing --- is no second document; a written one is, with its line', () => {
  expect(read('---\na: 1\n---\n')).toEqual({ a: 1 });
  expect(read('a: 1\n---\n# a comment\n')).toEqual({ a: 1 });
  expect(read('a: 1\n---\nb: 2\n')).toMatchObject([{ line: 2, message: expect.stringContaining('second') }]);
  expect(read('')).toMatchObject([{ message: 'the file is empty' }]);
});
