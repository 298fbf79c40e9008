import { describe, expect, it } from 'vitest';
import { quoteForMessage } from './quote-for-message.js';

describe('quoteForMessage', () => {
  it.each([
    ['acme', '"acme"'],
    ['', '""'],
    ['a"b\\c', '"a\\"b\\\\c"'],
    ['\u001b[31m\n', '"\\u001b[31m\\n"'],
    ['\u007f\u0085\u202e\u2028', '"\\u007f\\u0085\\u202e\\u2028"'],
    ['é😀', '"\\u00e9\\ud83d\\ude00"'],
    ['\ud83d', '"\\ud83d"'],
    ['x'.repeat(64), `"${'x'.repeat(64)}"`],
    ['x'.repeat(65), `"${'x'.repeat(64)}…"`],
  ])('shows %j', (text, shown) => expect(quoteForMessage(text)).toBe(shown));
});
