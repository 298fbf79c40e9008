import type { TextOutput } from '../context.js';

/** Longest line that is held back until it ends. */
const MAX_HELD = 65_536;

/** Where a log is printed to; `end` writes what is held back. */
export interface LogOutput extends Pick<TextOutput, 'write'> {
  end?(): void;
}

/**
 * An output that puts `prefix` before each line and writes whole lines only, so that several logs may share one stream. A
 * line that does not end is written at the end of the log, or when it grows too long.
 */
export function prefixed(stdout: Pick<TextOutput, 'write'>, prefix: string): Required<LogOutput> {
  let held = '';
  const flush = (): void => {
    if (held !== '') stdout.write(`${prefix}${held}\n`);
    held = '';
  };
  return {
    write(text) {
      const lines = `${held}${typeof text === 'string' ? text : Buffer.from(text).toString()}`.split('\n');
      held = lines.pop() ?? '';
      if (lines.length > 0) stdout.write(lines.map((line) => `${prefix}${line}\n`).join(''));
      if (held.length > MAX_HELD) flush();
    },
    end: flush,
  };
}
