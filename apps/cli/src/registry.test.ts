import { readdir, readFile } from 'node:fs/promises';
import { routes } from '@mvm/agentd-api';
import { Command } from 'commander';
import { expect, it } from 'vitest';
import { COMMANDS } from './registry.js';

/** What changes something and takes no `--dry-run`, and why. */
const EXEMPT: Readonly<Record<string, string>> = {
  cp: 'copies as cp does; what is in the guest, mvm does not know beforehand',
  'port-forward': 'what is sent to the guest is not known beforehand',
  exec: 'what a program in the guest changes is not known beforehand',
  selftest:
    'runs hostds, networks and VMs of its own, and takes them away again; nothing of the host is changed',
  'image import':
    'what it makes is known only once all layers are read and built; repeating it changes nothing',
  'kernel add': 'adds files that nothing boots before an import names them',
  'kernel remove': 'images keep what they were imported with, and adding it again brings it back',
  'net verify': 'reads; with --deep it attaches a port of its own for a moment, and shows what that met',
};

const visible = COMMANDS.filter((entry) => entry.hidden !== true);
const nameOf = (path: readonly string[]): string => path.join(' ');

async function hasDryRun(entry: (typeof COMMANDS)[number]): Promise<boolean> {
  const command = new Command();
  (await entry.load()).configure(command);
  return command.options.some(({ long }) => long === '--dry-run');
}

it.each(visible.filter(({ mutates }) => mutates).map((entry) => [nameOf(entry.path), entry] as const))(
  '%s changes something, and shows with --dry-run what it would do',
  async (name, entry) => {
    expect(await hasDryRun(entry)).toBe(!Object.hasOwn(EXEMPT, name));
  },
);

it.each(COMMANDS.filter(({ mutates }) => !mutates).map((entry) => [nameOf(entry.path), entry] as const))(
  '%s changes nothing, so there is nothing to try',
  async (_name, entry) => {
    expect(await hasDryRun(entry)).toBe(false);
  },
);

it('no exemption is left over', () => {
  const mutating = visible.filter(({ mutates }) => mutates).map(({ path }) => nameOf(path));
  expect(mutating).toEqual(expect.arrayContaining(Object.keys(EXEMPT)));
});

it('whatever calls something that changes is registered as changing', async () => {
  const changing = Object.entries(routes)
    .filter(([, route]) => route.method !== 'GET')
    .map(([name]) => name);
  expect(changing.length).toBeGreaterThan(5);
  const names = changing.join('|');
  const calls = new RegExp(
    `\\.(${names})\\(|route: '(${names})'|\\b(addImage|removeImage|importImage|pruneImages|addKernel|removeKernel)\\b`,
  );
  const dir = new URL('commands/', import.meta.url);
  const found: string[] = [];
  for (const file of await readdir(dir)) {
    if (calls.test(await readFile(new URL(file, dir), 'utf8'))) found.push(file.replace(/\.ts$/, ''));
  }
  const mutating = COMMANDS.filter(({ mutates }) => mutates).map(({ path }) => path.join('-'));
  expect(found.length).toBeGreaterThan(5);
  expect(mutating).toEqual(expect.arrayContaining(found));
});
