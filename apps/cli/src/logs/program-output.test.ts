import { expect, it } from 'vitest';
import { ProgramOutput } from './program-output.js';

const CONSOLE = [
  '[    0.475505] PCI: Fatal: No config space access function found',
  'mvm-guest starting',
  'mvm-guest ready tenant=acme pool=once',
  'mvm-guest',
  '[1, 2]',
  '',
  'm',
  'of the program: mvm-guest exited code=1',
  'mvm-guest exited code=0',
  '[    3.244306] reboot: Power down',
  '',
].join('\n');
const PROGRAM = 'mvm-guest\n[1, 2]\n\nm\nof the program: mvm-guest exited code=1\n';

it.each([1, 3, 7, 1000])('passes on what the program has printed, in pieces of %i', (size) => {
  const output = new ProgramOutput();
  let text = '';
  for (let at = 0; at < CONSOLE.length; at += size) text += output.push(CONSOLE.slice(at, at + size));
  expect(text + output.end()).toBe(PROGRAM);
});

it('passes on a line before its end, unless it may be one that is left out', () => {
  const output = new ProgramOutput();
  expect(output.push('10 %')).toBe('10 %');
  expect(output.push('\nmvm')).toBe('\n');
  expect(output.push('ps')).toBe('mvmps');
  expect(output.push('\n[ 12')).toBe('\n');
  expect(output.end()).toBe('[ 12');
});
