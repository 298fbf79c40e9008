import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import * as protocol from '../../src/index.js';
import { expectCommitted, packagePath } from './golden-files.js';

/** `type Name` or `Name` for everything that an index file exports; it may hold nothing but named re-exports. */
function exportedNames(source: string): string[] {
  const names: string[] = [];
  const rest = source.replace(
    /export (type )?\{([^}]*)\} from '(?:\.\/[a-z0-9/-]+\.js|@mvm\/errors)';/g,
    (_all, allTypes, list: string) => {
      for (const entry of list.split(',').map((name) => name.trim())) {
        if (entry !== '') names.push(allTypes !== undefined ? `type ${entry}` : entry);
      }
      return '';
    },
  );
  expect(rest.trim(), 'index.ts holds something else than named re-exports').toBe('');
  return names.sort();
}

describe('public surface', () => {
  const names = exportedNames(readFileSync(packagePath('src/index.ts'), 'utf8'));

  it('is the committed one', () => {
    expectCommitted('testdata/surface.txt', `${names.join('\n')}\n`);
  });

  it('exists at run time', () => {
    expect(Object.keys(protocol).sort()).toEqual(names.filter((name) => !name.startsWith('type ')));
  });
});

describe('sources', () => {
  it('import nothing but zod, @mvm/errors and each other', () => {
    const files = readdirSync(packagePath('src'), { recursive: true, encoding: 'utf8' });
    const sources = files.filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'));
    expect(sources.length).toBeGreaterThan(20);
    for (const name of sources) {
      const text = readFileSync(packagePath(`src/${name}`), 'utf8');
      const specifiers = [...text.matchAll(/(?:\bfrom|\bimport)\s*\(?\s*['"]([^'"]+)['"]/g)].map(
        (match) => match[1],
      );
      const foreign = specifiers.filter(
        (specifier) => !['zod', '@mvm/errors'].includes(specifier ?? '') && !specifier?.startsWith('.'),
      );
      expect(foreign, name).toEqual([]);
    }
  });
});
