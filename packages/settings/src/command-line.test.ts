import { Command } from 'commander';
import { expect, it, vi } from 'vitest';
import { z } from 'zod';
import { settingsCommand } from './command-line.js';
import type { SettingsTable } from './setting.js';

const table = {
  waitTime: {
    name: 'wait-time',
    kind: 'duration',
    placeholder: 'duration',
    schema: z.int(),
    defaultValue: '2s',
    meaning: 'How long it waits.',
  },
  ports: {
    name: 'ports',
    kind: 'integer-list',
    placeholder: 'port,…',
    schema: z.array(z.int()),
    defaultValue: [] as readonly number[],
    meaning: 'Where it listens.',
  },
  loud: {
    name: 'loud',
    kind: 'switch',
    placeholder: '',
    schema: z.boolean(),
    defaultValue: false,
    meaning: 'Says more.',
  },
} as const satisfies SettingsTable;

async function call(configPath: string | null, ...args: string[]) {
  const run = vi.fn();
  const command = new Command('serve').exitOverride();
  settingsCommand(command, { table, prefix: 'MVM_X', configPath }, run);
  await command.parseAsync(args, { from: 'user' });
  return run.mock.calls[0]?.[0].config;
}

it('reads flags of each kind, a list in pieces too', async () => {
  expect(await call(null)).toEqual({ waitTime: 2000, ports: [], loud: false });
  expect(await call(null, '--wait-time', '5s', '--ports', '1,2', '--ports', '3', '--loud')).toEqual({
    waitTime: 5000,
    ports: [1, 2, 3],
    loud: true,
  });
});

it('does without the usual file, but not without one that is named', async () => {
  expect(await call('/nonexistent.toml')).toMatchObject({ waitTime: 2000 });
  await expect(call(null, '--config', '/nonexistent.toml')).rejects.toMatchObject({
    reason: 'config.unreadable',
    message: expect.stringContaining('/nonexistent.toml'),
  });
});

it('names default and variable in the help', () => {
  const command = settingsCommand(
    new Command('serve'),
    { table, prefix: 'MVM_X', configPath: '/x.toml' },
    () => {},
  );
  const help = command.helpInformation().replaceAll(/\s+/g, ' ');
  expect(help).toContain('How long it waits. (default: 2s; MVM_X_WAIT_TIME)');
  expect(help).toContain('(MVM_X_CONFIG; default: /x.toml if there)');
});
