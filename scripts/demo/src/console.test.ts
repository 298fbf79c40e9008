import { expect, test } from 'vitest';
import { checkContinuity, linesAround, readConsole } from './console.js';

const ready = (bootId: string): string => `mvm-guest ready tenant=acme boot_id=${bootId}\r\n`;
const text = `kernel\r\n${ready('1a')}mvm-guest alive count=1\r\nmvm-guest alive count=2\r\nmvm-guest awake time=5\r\nmvm-guest alive count=3\r\nmvm-guest alive co`;

test('a console tells boot and count, by whole lines only', () => {
  expect(readConsole(text)).toEqual({ count: 3, bootId: '1a', greetings: 1 });
  expect(readConsole('')).toEqual({ count: 0, bootId: null, greetings: 0 });
  expect(linesAround(text, 1)).toEqual([
    'mvm-guest alive count=1',
    'mvm-guest alive count=2',
    'mvm-guest awake time=5',
    'mvm-guest alive count=3',
  ]);
  expect(linesAround(text, 3)).toEqual(['mvm-guest alive count=3']);
  expect(linesAround(text, 9)).toEqual([]);
});

test('another boot, or a count that went back, is not continuity', () => {
  const before = readConsole(text);
  expect(() => checkContinuity('a/b/c', before, { ...before, count: 4 })).not.toThrow();
  expect(() => checkContinuity('a/b/c', before, readConsole(text + ready('1a')))).toThrow(/booted again/);
  expect(() => checkContinuity('a/b/c', before, { ...before, bootId: '2b' })).toThrow(/booted again/);
  expect(() => checkContinuity('a/b/c', before, { ...before, count: 2 })).toThrow(/counts 2/);
});
