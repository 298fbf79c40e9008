import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

/** The rooms in the order in which a request passes them; docs/architecture.md. None imports one above it. */
const ROOMS = [
  ['server'],
  ['requests'],
  ['network-probe'],
  ['operations'],
  ['plan'],
  ['execute'],
  ['cgroup', 'config', 'console', 'disk', 'guest-agent', 'snapshot', 'state', 'system', 'vmm'],
];
/** What puts the rooms together, or gets between them in crash tests. */
const COMPOSITION = ['cli', 'crash'];

const src = dirname(fileURLToPath(import.meta.url));
const levelOf = (room: string): number => ROOMS.findIndex((rooms) => rooms.includes(room));

test('every room has its place, and none imports one above it', () => {
  const upward: string[] = [];
  for (const entry of readdirSync(src, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.ts') || entry.name.endsWith('.test.ts')) continue;
    const file = join(entry.parentPath, entry.name).slice(src.length + 1);
    const [room = ''] = file.split('/');
    // The entries, and the composition root.
    if (!file.includes('/') || COMPOSITION.includes(room)) continue;
    expect(levelOf(room), `${room} is in no place`).toBeGreaterThanOrEqual(0);
    for (const [, path = ''] of readFileSync(join(src, file), 'utf8').matchAll(/from '(\.[^']+)'/g)) {
      const imported = normalize(join(dirname(file), path));
      const [other = ''] = imported.split('/');
      if (imported.startsWith('..') || other === 'version.js') continue;
      if (levelOf(other) < levelOf(room)) upward.push(`${file} imports ${imported}`);
    }
  }
  expect(upward).toEqual([]);
});
