import { describe, expect, it } from 'vitest';
import { lastLines, type ReadPage, readTail } from './read-tail.js';

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

/** A log as hostd answers, of which the bytes before `kept` are gone. */
function logOf(text: string, kept = 0): { read: ReadPage; reads: () => number } {
  const bytes = Buffer.from(text);
  let reads = 0;
  const read: ReadPage = async ({ offset, max_bytes }) => {
    reads += 1;
    const start = Math.max(kept, offset ?? bytes.length - max_bytes);
    const piece = bytes.subarray(start, start + max_bytes);
    return {
      stream: 'console',
      offset: start,
      next_offset: start + piece.length,
      data_base64: piece.toString('base64'),
      truncated: offset !== undefined && start > offset,
    };
  };
  return { read, reads: () => reads };
}

const LINES = Array.from({ length: 120_066 }, (_, index) => `${index}: ${'x'.repeat(index % 23)}\n`);
const TEXT = LINES.join('');

describe('the last lines of a log', () => {
  it.each([1, 2, 37_448, 100_000, 120_065, 120_066])(
    'are read in pages until there are %i of them',
    async (count) => {
      const tail = await readTail(logOf(TEXT).read, count);
      expect(Buffer.from(tail.bytes).toString()).toBe(LINES.slice(-count).join(''));
      expect(tail).toMatchObject({ truncated: false, nextOffset: TEXT.length });
    },
  );

  it('are all lines where there are fewer', async () => {
    const tail = await readTail(logOf(TEXT).read, 500_000);
    expect(tail.bytes.length).toBe(TEXT.length);
    expect(tail.truncated).toBe(false);
  });

  it('take one page where one has them', async () => {
    const { read, reads } = logOf(TEXT);
    await readTail(read, 10);
    expect(reads()).toBe(1);
  });

  it('never begin within a line, where the beginning of the log is gone', async () => {
    const kept = TEXT.length - 600_001;
    const { bytes, truncated } = await readTail(logOf(TEXT, kept).read, 100_000);
    const first = Buffer.from(bytes).toString().split('\n', 1)[0] ?? '';
    expect(LINES).toContain(`${first}\n`);
    expect(bytes.length).toBeGreaterThan(599_900);
    expect(truncated).toBe(true);
  });

  it('of one line that is longer than a page are that line', async () => {
    const long = `first\n${'y'.repeat(700_000)}`;
    const { bytes } = await readTail(logOf(long).read, 1);
    expect(bytes.length).toBe(700_000);
  });
});
