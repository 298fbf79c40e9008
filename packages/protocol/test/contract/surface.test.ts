import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import * as guest from '../../src/guest/index.js';
import * as protocol from '../../src/index.js';
import * as names from '../../src/names/index.js';
import * as schemas from '../../src/schemas.js';
import * as state from '../../src/state/index.js';
import * as v1 from '../../src/v1/index.js';
import { expectCommitted, packagePath } from './golden-files.js';

/** `type Name` or `Name` for everything that an index file exports; it may hold nothing but named re-exports. */
function exportedNames(source: string): string[] {
  const names: string[] = [];
  const rest = source.replace(
    /export (type )?\{([^}]*)\} from '(?:\.\.?\/[a-z0-9/-]+\.js|@mvm\/errors)';/g,
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

/** Entry point → its module; what each exports is committed. */
const entryPoints = {
  '.': { path: 'src/index.ts', module: protocol, golden: 'testdata/surface.txt' },
  './names': { path: 'src/names/index.ts', module: names, golden: 'testdata/surface.names.txt' },
  './state': { path: 'src/state/index.ts', module: state, golden: 'testdata/surface.state.txt' },
  './guest': { path: 'src/guest/index.ts', module: guest, golden: 'testdata/surface.guest.txt' },
  './v1': { path: 'src/v1/index.ts', module: v1, golden: 'testdata/surface.v1.txt' },
  './schemas': { path: 'src/schemas.ts', module: schemas, golden: 'testdata/surface.schemas.txt' },
};

describe.each(Object.entries(entryPoints))('public surface of %s', (_name, { path, module, golden }) => {
  const exported = exportedNames(readFileSync(packagePath(path), 'utf8'));

  it('is the committed one', () => {
    expectCommitted(golden, `${exported.join('\n')}\n`);
  });

  it('exists at run time', () => {
    expect(Object.keys(module).sort()).toEqual(exported.filter((name) => !name.startsWith('type ')));
  });
});

it('no name is exported by two entry points', () => {
  const all = Object.values(entryPoints).flatMap(({ module }) => Object.keys(module));
  expect(new Set(all).size).toBe(all.length);
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
