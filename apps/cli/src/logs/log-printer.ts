import type { TextOutput } from '../context.js';
import { ControlCharacterFilter } from '../format/control-characters.js';

export interface LogPrinter {
  print(bytes: Uint8Array): void;
  /** Prints what was held back. */
  end(): void;
}

/**
 * Prints a guest's bytes: unchanged where nobody's terminal is at stake (a pipe, a file) or when `raw`; on a terminal
 * as UTF-8 text without control sequences. Pieces may be cut anywhere, inside a character too.
 */
export function createLogPrinter(stdout: TextOutput, raw: boolean): LogPrinter {
  if (raw || !stdout.isTty) return { print: (bytes) => stdout.write(bytes), end: () => {} };
  const decoder = new TextDecoder();
  const filter = new ControlCharacterFilter();
  const show = (text: string) => {
    if (text !== '') stdout.write(text);
  };
  return {
    print: (bytes) => show(filter.push(decoder.decode(bytes, { stream: true }))),
    end: () => show(filter.push(decoder.decode()) + filter.end()),
  };
}
