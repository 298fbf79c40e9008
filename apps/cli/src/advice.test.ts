import { expect, it } from 'vitest';
import { commandsLike, withAdvice } from './advice.js';
import { COMMANDS } from './registry.js';

it.each([
  ['logs', ['instance logs']],
  ['sleep', ['instance sleep']],
  ['describe', ['instance info']],
  ['list', ['tenant list', 'pool list', 'instance list', 'secret list']],
  ['constructor', []],
  ['frobnicate', []],
])('%s may be meant as %j', (word, commands) => {
  expect(commandsLike(word)).toEqual(commands);
});

it('advises only what there is', () => {
  const paths = COMMANDS.map(({ path }) => path.join(' '));
  const words = ['create', 'delete', 'down', 'events', 'exec', 'history', 'inspect', 'kill', 'pause'];
  words.push('restart', 'run', 'show', 'snapshot', 'stats', 'suspend', 'top', 'unpause', 'up');
  const advised = words.map((word) => [word, commandsLike(word)] as const);
  expect(advised.filter(([, commands]) => commands.length === 0)).toEqual([]);
  const names = advised.flatMap(([, commands]) => commands).map((command) => command.replace(/ --.*/, ''));
  expect(names.filter((name) => !paths.includes(name))).toEqual([]);
});

it('leaves other complaints, and those with a suggestion, as they are', () => {
  expect(withAdvice("error: unknown command 'logs'\n")).toBe(
    'error: unknown command \'logs\'\n(Did you mean "mvm instance logs"?)\n',
  );
  for (const complaint of [
    "error: unknown command 'slep'\n(Did you mean sleep?)\n",
    "error: unknown option '--logs'\n",
    "error: unknown command 'frobnicate'\n",
  ])
    expect(withAdvice(complaint)).toBe(complaint);
});
