import { describe, expect, it } from 'vitest';
import { ControlCharacterFilter, onOneLine, stripControlCharacters } from './control-characters.js';

describe('stripControlCharacters', () => {
  it.each([
    ['plain text stays', 'login: überraschung\t日本 🙂\n', 'login: überraschung\t日本 🙂\n'],
    ['colours go', '\x1b[1;31mred\x1b[0m', 'red'],
    ['cursor movement and clearing go', 'a\x1b[2J\x1b[Hb', 'ab'],
    ['window titles go', '\x1b]0;owned\x07text', 'text'],
    ['titles ended by ST go', '\x1b]2;owned\x1b\\text', 'text'],
    ['clipboard writes go', '\x1b]52;c;cm0gLXJm\x07ok', 'ok'],
    ['device control strings go', '\x1bP+q544e\x1b\\ok', 'ok'],
    ['8-bit forms go', '\x9b31mred\x9d0;title\x9cok', 'redok'],
    ['character sets go', '\x1b(0lqk', 'lqk'],
    ['reports go', '\x1bc\x1b[6nok', 'ok'],
    ['bells, nulls and deletes go', 'a\x07b\x00c\x7fd\x08e', 'abcde'],
    ['serial line ends become line feeds', 'one\r\ntwo\r\n', 'one\ntwo\n'],
    ['doubled carriage returns count once', 'one\r\r\ntwo', 'one\ntwo'],
    ['a carriage return cannot overwrite a line', 'safe\revil', 'safe\nevil'],
    ['a trailing carriage return ends the line', 'x\r', 'x\n'],
    ['a line feed ends an open title', '\x1b]0;hidden\nshown', '\nshown'],
    ['a line feed ends an open sequence', '\x1b[12\nshown', '\nshown'],
    ['right-to-left overrides go', 'abc\u202edef\u2066', 'abcdef'],
    ['an escape at the end goes', 'x\x1b', 'x'],
  ])('%s', (_what, input, output) => {
    expect(stripControlCharacters(input)).toBe(output);
  });

  it('gives up on a string that does not end', () => {
    expect(stripControlCharacters(`\x1b]0;${'x'.repeat(10_000)}shown`)).toMatch(/shown$/);
  });
});

it('keeps its state between pieces', () => {
  const filter = new ControlCharacterFilter();
  expect(['a\x1b', '[3', '1mb\r', '\nc'].map((piece) => filter.push(piece)).join('')).toBe('ab\nc');
});

it('puts text on one line', () => {
  expect(onOneLine(' a\r\nb\tc\x1b[0m\n')).toBe('a b c');
});
