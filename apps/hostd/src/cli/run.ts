import { ERROR_CODES, toCodedError } from '@mvm/protocol';
import { type Command, CommanderError } from 'commander';

/** Runs a command line, and sets the exit status: that of the error's code, after telling it on stderr. */
export async function runProgram(program: () => Command): Promise<void> {
  try {
    await program().parseAsync();
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : ERROR_CODES.invalid_argument.exitCode;
      return;
    }
    const failure = toCodedError(error);
    const hint = failure.hint === undefined ? '' : `\n  ${failure.hint}`;
    process.stderr.write(`mvm-hostd: ${failure.message} (${failure.reason})${hint}\n`);
    process.exitCode = ERROR_CODES[failure.code].exitCode;
  }
}

export function printLine(text: string): void {
  process.stdout.write(`${text}\n`);
}
