import { expect, it } from 'vitest';
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
