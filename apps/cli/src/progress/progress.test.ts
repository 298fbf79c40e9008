import { expect, it } from 'vitest';
import { createProgress } from './progress.js';

it('prints each new text once where there is no terminal', async () => {
  const lines: string[] = [];
  const target = {
    isTty: false,
    write: (text: string) => lines.push(text),
    spinner: () => Promise.reject(new Error('no terminal')),
  };
  const progress = await createProgress(target, 'waiting', false);
  progress.update('waiting');
  progress.update('1/2');
  progress.update('1/2');
  progress.done();
  expect(lines).toEqual(['waiting\n', '1/2\n']);
});

it.each([false, true])('shows no control characters, terminal %s', async (isTty) => {
  const shown: (string | undefined)[] = [];
  const add = (text?: string) => void shown.push(text);
  const target = {
    isTty,
    write: (text: string) => add(text.trimEnd()),
    spinner: async (first: string) => {
      add(first);
      return { update: add, done: add, fail: add };
    },
  };
  const progress = await createProgress(target, 'a\x1b[2Jb', false);
  progress.update('c\x1b]0;title\x07d\re');
  progress.fail('f\ng');
  expect(shown).toEqual(['ab', 'cd e', 'f g']);
});

it('prints nothing when quiet', async () => {
  const lines: string[] = [];
  const target = {
    isTty: true,
    write: (text: string) => lines.push(text),
    spinner: () => Promise.reject(new Error('asked for a spinner')),
  };
  const progress = await createProgress(target, 'waiting', true);
  progress.fail('broken');
  expect(lines).toEqual([]);
});
