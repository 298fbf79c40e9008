import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ERROR_CODES, toCodedError } from '../../src/index.js';
import { PROTOCOL_REASONS } from '../../src/protocol-error.js';
import { packagePath } from './golden-files.js';
import { tableRows } from './markdown.js';

/** Every reason that the sources of this package name, and that of an error which is no coded one. */
function reasonsInSources(): string[] {
  const reasons = new Set([...PROTOCOL_REASONS, toCodedError('').reason]);
  for (const name of readdirSync(packagePath('src'), { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.ts') || name.endsWith('.test.ts')) continue;
    const text = readFileSync(packagePath(`src/${name}`), 'utf8');
    for (const match of text.matchAll(/reason: '([a-z_]+\.[a-z_]+)'/g)) reasons.add(match[1] ?? '');
    for (const match of text.matchAll(/reason \?\? '([a-z_]+\.[a-z_]+)'/g)) reasons.add(match[1] ?? '');
    for (const match of text.matchAll(/netError\(\s*'([a-z_]+)'/g)) reasons.add(`net.${match[1]}`);
  }
  return [...reasons].sort();
}

describe('docs/errors.md', () => {
  it('holds every code with its retry class and exit code, and no other', () => {
    const documented = tableRows('docs/errors.md', 'Codes').map(([code, retry, exit]) => [
      code,
      retry,
      Number(exit),
    ]);
    const defined = Object.entries(ERROR_CODES).map(([code, { retry, exitCode }]) => [code, retry, exitCode]);
    expect(documented).toEqual(defined);
  });

  it('says what each code means', () => {
    for (const row of tableRows('docs/errors.md', 'Codes')) expect(row[3], row[0]).toMatch(/\S.*\.$/);
  });

  it('holds every reason of this package, and no other', () => {
    const documented = tableRows('docs/errors.md', 'Reasons of the contract').map(([reason]) => reason);
    expect([...documented].sort()).toEqual(reasonsInSources());
  });

  it('gives known codes to reasons', () => {
    for (const [reason, code] of tableRows('docs/errors.md', 'Reasons of the contract')) {
      expect(Object.keys(ERROR_CODES), reason).toContain(code);
    }
  });
});
