import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { renderDocument } from './documents.js';

const hostile = {
  name: 'acme',
  text: 'a\u001b[31m\u009b0m\u007f\u202e\r\nb\tc',
  'k\u009b': ['x', null, 1, true],
  yes: 'no',
  date: '2026-01-01T00:00:00Z',
};

describe.each([
  ['json', (text: string): unknown => JSON.parse(text)],
  ['yaml', (text: string): unknown => parse(text)],
] as const)('renderDocument %s', (format, read) => {
  it('carries apiVersion and kind first', async () => {
    const text = await renderDocument('Thing', { name: 'acme' }, format);
    expect(Object.entries(read(text) as object)).toEqual([
      ['apiVersion', 'mvm/v1'],
      ['kind', 'Thing'],
      ['name', 'acme'],
    ]);
  });

  it('brings every value back, and prints nothing that a terminal acts on', async () => {
    const text = await renderDocument('Thing', hostile, format);
    expect(read(text)).toEqual({ apiVersion: 'mvm/v1', kind: 'Thing', ...hostile });
    expect([...text].filter((char) => /[\p{Cc}\p{Bidi_Control}]/u.test(char) && char !== '\n')).toEqual([]);
  });
});
