import { closeSync, fstatSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { isJournalStream, type LogFormat, renderLogLine } from './log-format.js';

const line = `${JSON.stringify({
  level: 40,
  time: '2026-11-30T01:00:00.000Z',
  path: '/run/mvm/hostd.sock',
  error: { message: 'two\nlines' },
  count: 3,
  text: 'with blanks',
  msg: 'a guest said \u001b[31mred\nnext',
})}\n`;
const FIELDS = 'path=/run/mvm/hostd.sock error={"message":"two\\nlines"} count=3 text="with blanks"';

test.each<[LogFormat, boolean, string]>([
  ['json', false, line],
  ['json', true, `<4>${line}`],
  ['text', false, `2026-11-30T01:00:00.000Z WARN  a guest said  [31mred next ${FIELDS}\n`],
  ['text', true, `<4>a guest said  [31mred next ${FIELDS}\n`],
])('a line as %s, journald %s', (format, isJournal, expected) => {
  expect(renderLogLine(line, format, isJournal)).toBe(expected);
});

test.each([
  [10, 7],
  [20, 7],
  [30, 6],
  [50, 3],
  [60, 2],
])('level %i has priority %i', (level, priority) => {
  expect(renderLogLine(JSON.stringify({ level, msg: 'x' }), 'text', true)).toBe(`<${priority}>x\n`);
});

test('what is no record stays as it is', () => {
  for (const text of ['plain\n', '[1]\n', '{"level":', ''])
    expect(renderLogLine(text, 'text', true)).toBe(text);
});

test("the journal's stream is known by its device and inode, not by the variable alone", () => {
  const dir = mkdtempSync(join(tmpdir(), 'mvm-log-'));
  const fd = openSync(join(dir, 'log'), 'w');
  const { dev, ino } = fstatSync(fd, { bigint: true });
  expect(isJournalStream(fd, { JOURNAL_STREAM: `${dev}:${ino}` })).toBe(true);
  expect(isJournalStream(fd, { JOURNAL_STREAM: `${dev}:${ino + 1n}` })).toBe(false);
  expect(isJournalStream(fd, {})).toBe(false);
  closeSync(fd);
  expect(isJournalStream(fd, { JOURNAL_STREAM: `${dev}:${ino}` })).toBe(false);
  rmSync(dir, { recursive: true });
});
