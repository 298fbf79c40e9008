import { Command } from 'commander';
import { expect, it } from 'vitest';
import { exec } from './commands/exec.js';
import { run } from './commands/run.js';
import { separateCommand } from './separate-command.js';

it.each([
  ['exec web ls -l', 'exec web -- ls -l'],
  ['exec -it -e A=b --user app web sh -c x', 'exec -it -e A=b --user app web -- sh -c x'],
  ['exec web -- ls -l', 'exec web -- ls -l'],
  ['exec -i -- web ls', 'exec -i -- web ls'],
  ['exec web', 'exec web'],
  ['exec --help', 'exec --help'],
  ['-q exec web ls -l', '-q exec web -- ls -l'],
  ['run --tenant a --rm -p 8080:80 app sh -c x', 'run --tenant a --rm -p 8080:80 app -- sh -c x'],
  ['status -o json', 'status -o json'],
  ['apply -f exec', 'apply -f exec'],
])('%s', (given, expected) => {
  expect(separateCommand(given.split(' ')).join(' ')).toBe(expected);
});

it.each([
  ['exec', exec],
  ['run', run],
] as const)('knows every option of %s that takes a value', (name, { configure }) => {
  const command = new Command(name);
  configure(command);
  const flags = command.options
    .filter(({ required, optional }) => required || optional)
    .flatMap(({ short, long }) => [short, long].filter((flag) => flag !== undefined && flag !== null));
  expect(flags.length).toBeGreaterThan(4);
  for (const flag of flags) {
    expect(separateCommand([name, flag, 'value', 'app', 'ls', '-l'])).toEqual([
      name,
      flag,
      'value',
      'app',
      '--',
      'ls',
      '-l',
    ]);
  }
});
