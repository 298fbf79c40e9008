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
