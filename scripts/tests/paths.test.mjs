import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const packages = ['apps', 'packages', 'tests'].flatMap((dir) =>
  readdirSync(join(root, dir)).map((name) => join(dir, name)),
);
const inFolder = (/** @type {string} */ dir) =>
  readdirSync(join(root, dir))
    .filter((name) => name.endsWith('.md'))
    .map((name) => join(dir, name));
const documents = [
  ...['.', 'docs', 'deploy'].flatMap(inFolder),
  ...packages.map((dir) => join(dir, 'README.md')).filter((path) => existsSync(join(root, path))),
];
/** Folders whose files a document may name relative to a package, as `operations/sleep.ts`. */
const BASES = ['', ...packages.flatMap((dir) => [dir, join(dir, 'src')])];
/** A path with a folder and an ending that only files of this repository have. */
const PATH = /^(?:\.\/)?[\w.@-]+(?:\/[\w.@-]+)*\/[\w.-]+\.(?:ts|mjs|c|h|sh|md|toml|service|socket|conf)$/;
/** Files of a host or of a build, which have such endings as well. */
const ELSEWHERE = /^(?:etc|usr|var|run|dev|proc|sys|lib|dist|\.changeset|\.cache)\//;

test.each(documents)('%s names files that exist', (document) => {
  const text = readFileSync(join(root, document), 'utf8').replace(/```[\s\S]*?```/g, '');
  const named = [...text.matchAll(/`([^`\s]+)`/g)].map(([, path = '']) => path);
  const paths = named.filter((path) => PATH.test(path) && !ELSEWHERE.test(path));
  const bases = [...BASES, dirname(document)];
  expect(paths.filter((path) => !bases.some((base) => existsSync(join(root, base, path))))).toEqual([]);
});

test('docs/architecture.md names the rooms of hostd, and files in them', () => {
  const text = readFileSync(join(root, 'docs/architecture.md'), 'utf8');
  const rooms = [...text.matchAll(/`([a-z-]+(?:\/[a-z-]+)*)\/`/g)].map(([, path = '']) => path);
  expect(rooms.length).toBeGreaterThan(8);
  const bases = [...BASES, 'apps/hostd', 'docs'];
  expect(rooms.filter((path) => !bases.some((base) => existsSync(join(root, base, path))))).toEqual([]);
});
