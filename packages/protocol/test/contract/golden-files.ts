import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';

/** Set to 1 by `pnpm contract:update`: goldens, schemas and the surface are written instead of compared. */
const updating = process.env.MVM_UPDATE_CONTRACT === '1';

/** Absolute path of a file of this package. */
export function packagePath(path: string): string {
  return fileURLToPath(new URL(`../../${path}`, import.meta.url));
}

/** Absolute path of a file of the repository. */
export function repositoryPath(path: string): string {
  return fileURLToPath(new URL(`../../../../${path}`, import.meta.url));
}

/** File names in a folder of this package, sorted; dot files left out. */
export function listFolder(path: string): string[] {
  return readdirSync(packagePath(path))
    .filter((name) => !name.startsWith('.'))
    .sort();
}

export function readGolden(path: string): Uint8Array {
  return new Uint8Array(readFileSync(packagePath(path)));
}

/** Asserts that a committed file holds exactly these bytes; writes them instead while updating. */
export function expectCommitted(path: string, bytes: Uint8Array | string): void {
  if (updating) {
    mkdirSync(dirname(packagePath(path)), { recursive: true });
    writeFileSync(packagePath(path), bytes);
  }
  const wanted = typeof bytes === 'string' ? bytes : new TextDecoder().decode(bytes);
  const found = readFileSync(packagePath(path), 'utf8');
  expect(found, `${path} is not current; if the change is meant, run pnpm contract:update`).toBe(wanted);
}
