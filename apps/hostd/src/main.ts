import { ERROR_CODES, toCodedError } from '@mvm/protocol';
import { CommanderError } from 'commander';
import { createProgram } from './cli/program.js';
import { serve } from './cli/serve.js';

const USAGE_EXIT = ERROR_CODES.invalid_argument.exitCode;

try {
  await createProgram({
    serve: ({ config }) => serve(config),
    print: (text) => {
      process.stdout.write(`${text}\n`);
    },
  }).parseAsync();
} catch (error) {
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : USAGE_EXIT;
  } else {
    const failure = toCodedError(error);
    const hint = failure.hint === undefined ? '' : `\n  ${failure.hint}`;
    process.stderr.write(`mvm-hostd: ${failure.message} (${failure.reason})${hint}\n`);
    process.exitCode = ERROR_CODES[failure.code].exitCode;
  }
}
