import { ControlCharacterFilter } from '../format/control-characters.js';
import type { LogOutput } from './prefixed.js';
import { ProgramOutput } from './program-output.js';

export interface LogPrinter {
  print(bytes: Uint8Array): void;
  /** Prints what was held back. */
  end(): void;
}

/**
 * Prints a guest's bytes: unchanged when `raw`, else as UTF-8 text without control sequences. A pipe too may end in a
 * terminal (`| tail`), so it makes no difference. Pieces may be cut anywhere, inside a character too.
 */
export function createLogPrinter(
  stdout: LogOutput,
  raw: boolean,
  /** Leaves out what does not come from the guest's program. */
  programOnly = false,
): LogPrinter {
  if (raw) return { print: (bytes) => stdout.write(bytes), end: () => {} };
  const decoder = new TextDecoder();
  const filter = new ControlCharacterFilter();
  const program = programOnly ? new ProgramOutput() : null;
  const show = (text: string, isEnd = false) => {
    const shown = program === null ? text : program.push(text) + (isEnd ? program.end() : '');
    if (shown !== '') stdout.write(shown);
  };
  return {
    print: (bytes) => show(filter.push(decoder.decode(bytes, { stream: true }))),
    end: () => {
      show(filter.push(decoder.decode()) + filter.end(), true);
      stdout.end?.();
    },
  };
}
