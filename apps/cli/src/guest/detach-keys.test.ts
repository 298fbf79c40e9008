import { expect, it } from 'vitest';
import { DetachKeys, parseDetachKeys } from './detach-keys.js';

const push = (keys: string, ...typed: string[]) => {
  const watch = new DetachKeys(parseDetachKeys(keys));
  return typed.map((text) => {
    const { pass, isComplete } = watch.push(Buffer.from(text));
    return [Buffer.from(pass).toString(), isComplete];
  });
};

it('finds the keys, also when they come apart', () => {
  expect(push('ctrl-p,ctrl-q', 'ab\x10\x11cd')).toEqual([['ab', true]]);
  expect(push('ctrl-p,ctrl-q', 'a\x10', '\x11')).toEqual([
    ['a', false],
    ['', true],
  ]);
  expect(push('ctrl-],x', '\x1dx')).toEqual([['', true]]);
});

it('passes on what turns out to be something else', () => {
  expect(push('ctrl-p,ctrl-q', 'a\x10', 'b\x10\x10', '\x11')).toEqual([
    ['a', false],
    ['\x10b\x10', false],
    ['', true],
  ]);
  expect(push('', '\x10\x11')).toEqual([['\x10\x11', false]]);
});

it.each(['ctrl-', 'ctrl-1', 'ctrl-p,,', 'ab'])('refuses %s', (keys) => {
  expect(() => parseDetachKeys(keys)).toThrow(/ctrl-p,ctrl-q/);
});
