import fc from 'fast-check';
import { expect, it } from 'vitest';
import { ControlCharacterFilter, stripControlCharacters } from './control-characters.js';

/** Text in which control characters and pieces of escape sequences are as frequent as anything else. */
const hostileText = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        '\x1b',
        '\x1b[',
        '\x1b]0;',
        '\x9b',
        '\x9d',
        '\x9c',
        '\r',
        '\n',
        '\t',
        '\x07',
        '\\',
        '\x7f',
        '\u202e',
      ),
      fc.constantFrom('31m', ';', '?25l', 'x', '(B'),
      fc.string({ unit: 'binary', maxLength: 5 }),
    ),
    { maxLength: 40 },
  )
  .map((parts) => parts.join(''));

it('lets no control character through but line feed and tab', () => {
  fc.assert(
    fc.property(hostileText, (text) => {
      const left = [...stripControlCharacters(text)].filter((char) => char !== '\n' && char !== '\t');
      expect(left.filter((char) => /[\p{Cc}\p{Bidi_Control}]/u.test(char))).toEqual([]);
    }),
    { numRuns: 2000 },
  );
});

it('gives the same result however the text is cut', () => {
  fc.assert(
    fc.property(hostileText, fc.array(fc.nat({ max: 60 }), { maxLength: 8 }), (text, cuts) => {
      const chars = [...text];
      const filter = new ControlCharacterFilter();
      let out = '';
      let from = 0;
      for (const cut of [...cuts.sort((a, b) => a - b), chars.length]) {
        out += filter.push(chars.slice(from, Math.max(from, cut)).join(''));
        from = Math.max(from, cut);
      }
      expect(out + filter.end()).toBe(stripControlCharacters(text));
    }),
    { numRuns: 2000 },
  );
});

it('keeps the number of lines and changes nothing when repeated', () => {
  fc.assert(
    fc.property(hostileText, (text) => {
      const once = stripControlCharacters(text);
      expect(stripControlCharacters(once)).toBe(once);
      expect(once.split('\n').length).toBeGreaterThanOrEqual(text.split('\n').length);
    }),
    { numRuns: 2000 },
  );
});
