import { expect, it } from 'vitest';
import { lastLines } from './tail-lines.js';

it.each([
  ['a\nb\nc\n', 2, 'b\nc\n'],
  ['a\nb\nc', 2, 'b\nc'],
  ['a\nb\n', 0, ''],
  ['a\nb\n', 9, 'a\nb\n'],
  ['\n\n\n', 1, '\n'],
  ['', 3, ''],
  ['x', 1, 'x'],
])('of %j the last %i lines are %j', (text, lines, expected) => {
  expect(Buffer.from(lastLines(Buffer.from(text), lines)).toString()).toBe(expected);
});
