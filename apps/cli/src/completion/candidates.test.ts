import { describe, expect, it } from 'vitest';
import { buildSilentProgram } from '../program.js';
import { completionFor } from './candidates.js';
import { byPart } from './live-names.js';

const complete = (...words: string[]) => completionFor(buildSilentProgram(), words);

async function values(...words: string[]): Promise<string[]> {
  const found = await complete(...words);
  if (found.kind !== 'candidates') throw new Error(`got ${found.kind}`);
  return found.candidates.map((candidate) => candidate.value);
}

describe('completionFor', () => {
  it('offers commands, but no hidden ones', async () => {
    expect(await values('')).toEqual(expect.arrayContaining(['apply', 'instance', 'doctor', 'status']));
    expect((await values('')).filter((value) => value.startsWith('_'))).toEqual([]);
    expect(await values('instance', '')).toEqual([
      'list',
      'info',
      'start',
      'stop',
      'reboot',
      'sleep',
      'wake',
      'warm',
      'resume',
      'destroy',
      'logs',
    ]);
  });

  it('offers options of the command and those of all', async () => {
    expect(await values('instance', 'logs', '-')).toEqual(
      expect.arrayContaining(['--follow', '--stream', '--tail', '--raw', '--socket', '--help']),
    );
  });

  it('offers the values of an option, apart and inline', async () => {
    expect(await values('instance', 'list', '-o', '')).toEqual(['table', 'wide', 'json', 'yaml', 'name']);
    expect(await values('instance', 'logs', '--stream', '')).toEqual(['console', 'vmm']);
    expect(await values('instance', 'logs', '--stream=')).toEqual(['--stream=console', '--stream=vmm']);
    expect(await values('completion', '')).toEqual(['bash', 'zsh', 'fish']);
  });

  it('knows where files and names belong', async () => {
    expect(await complete('apply', '-f', '')).toEqual({ kind: 'files' });
    expect(await complete('--socket', '')).toEqual({ kind: 'files' });
    expect(await complete('instance', 'info', '')).toEqual({ kind: 'names', of: 'instance' });
    expect(await complete('-o', 'json', 'instance', 'stop', 'a/b/c', '')).toEqual({
      kind: 'names',
      of: 'instance',
    });
    expect(await complete('instance', 'ls', '')).toEqual({ kind: 'names', of: 'scope' });
    expect(await complete('instance', 'stop', '--', '-')).toEqual({ kind: 'names', of: 'instance' });
    expect(await values('instance', 'info', 'a/b/c', '')).toEqual([]);
    expect(await values('apply', '')).toEqual([]);
  });
});

it('offers part by part when there are many addresses', () => {
  const many = Array.from({ length: 30 }, (_, index) => ({
    value: `t${index % 2}/p/i-${index}`,
    description: '',
  }));
  expect(byPart(many, '').map(({ value }) => value)).toEqual(['t0/', 't1/']);
  expect(byPart(many, 't0/', 5).map(({ value }) => value)).toEqual(['t0/p/']);
  expect(byPart(many, 't0/p/', 5)).toHaveLength(15);
  expect(byPart(many, 't0/p/i-10').map(({ value }) => value)).toEqual(['t0/p/i-10']);
});
