import { fstatSync } from 'node:fs';

/** How a daemon writes its log. */
export const LOG_FORMATS = ['json', 'text'] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

interface LineStream {
  write(line: string): unknown;
}

const LEVELS = [
  { from: 60, name: 'FATAL', priority: 2 },
  { from: 50, name: 'ERROR', priority: 3 },
  { from: 40, name: 'WARN', priority: 4 },
  { from: 30, name: 'INFO', priority: 6 },
  { from: 0, name: 'DEBUG', priority: 7 },
] as const;

/**
 * A stream for pino whose lines are in `format`, and begin with their priority as `<3>` when `isJournal`: journald takes that
 * off and keeps it (sd-daemon(3)). Text under journald has no time and no level, for the journal has both.
 */
export function formattedLog(stream: LineStream, format: LogFormat, isJournal: boolean): LineStream {
  if (format === 'json' && !isJournal) return stream;
  return { write: (line) => stream.write(renderLogLine(line, format, isJournal)) };
}

/** One line of pino's as {@link formattedLog} writes it; a line that is no JSON object stays as it is. Pure. */
export function renderLogLine(line: string, format: LogFormat, isJournal: boolean): string {
  const record = parseObject(line);
  if (record === null) return line;
  const { level, time, msg, ...fields } = record;
  const number = typeof level === 'number' ? level : 30;
  const { name, priority } = LEVELS.find(({ from }) => number >= from) ?? LEVELS[4];
  const prefix = isJournal ? `<${priority}>` : '';
  if (format === 'json') return `${prefix}${line}`;
  const head = isJournal ? '' : `${typeof time === 'string' ? time : ''} ${name.padEnd(5)} `;
  const rest = Object.entries(fields).map(([key, value]) => ` ${key}=${textOf(value)}`);
  return `${prefix}${head}${oneLine(String(msg ?? ''))}${rest.join('')}\n`;
}

/** Whether a file descriptor is the stream that systemd connected to the journal. Source: systemd.exec(5), JOURNAL_STREAM. */
export function isJournalStream(
  fd: number,
  environment: Readonly<Record<string, string | undefined>>,
): boolean {
  if (environment.JOURNAL_STREAM === undefined) return false;
  try {
    const { dev, ino } = fstatSync(fd, { bigint: true });
    return environment.JOURNAL_STREAM === `${dev}:${ino}`;
  } catch {
    return false;
  }
}

function parseObject(line: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

/** Bare where it is plain, else as JSON, which has no raw line ends. */
function textOf(value: unknown): string {
  if (typeof value === 'string' && /^[\w./:@+-]+$/.test(value)) return value;
  return oneLine(JSON.stringify(value) ?? '');
}

function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029]/gu, ' ');
}
