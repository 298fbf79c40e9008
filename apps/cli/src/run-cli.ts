import type { CommandModule } from './command.js';
import { createContext } from './create-context.js';
import { ReportedFailure } from './errors/reported-failure.js';
import { createColours } from './format/colours.js';
import type { Invocation } from './invocation.js';
import { readOwnVersion } from './own-version.js';
import { buildProgram, commanderExitCode, type GlobalOptions } from './program.js';
import { GROUPS } from './registry.js';
import { separateCommand } from './separate-command.js';
import { TOOL_COMMANDS } from './tool-commands.js';

export interface RunOptions {
  /** Words after `mvm`. */
  readonly argv: readonly string[];
  /** Aborted when the user breaks off. */
  readonly signal: AbortSignal;
}

/** Runs one call against this process's streams and returns its exit code; prints every error itself, throws none. */
export async function runCli({ argv, signal }: RunOptions): Promise<number> {
  const program = buildProgram({
    extraCommands: TOOL_COMMANDS,
    version: readOwnVersion(),
    execute: (module, invocation, globals) => execute(module, invocation, globals, signal),
    writeOut: (text) => process.stdout.write(text),
    writeErr: (text) => process.stderr.write(text),
    helpWidth: Math.min(110, process.stdout.columns ?? 100),
  });
  if (argv.length === 0) {
    program.outputHelp();
    return 0;
  }
  try {
    await program.parseAsync(wordsFor(argv), { from: 'user' });
    return 0;
  } catch (error) {
    return commanderExitCode(error) ?? reportError(error, signal);
  }
}

/** What commander is given. The words to complete are data: `--` keeps it from reading options out of them. */
function wordsFor(argv: readonly string[]): string[] {
  const [first, ...rest] = argv;
  if (first === '__complete') return ['__complete', '--', ...rest];
  if (first === 'help') return [...rest, '--help'];
  // A group without a verb is a question what there is.
  if (first !== undefined && rest.length === 0 && Object.hasOwn(GROUPS, first)) return [first, '--help'];
  return separateCommand(argv);
}

async function execute(
  module: CommandModule,
  invocation: Invocation,
  globals: GlobalOptions,
  signal: AbortSignal,
): Promise<void> {
  const { context, close } = createContext({ globals, signal });
  try {
    await module.run(context, invocation);
  } finally {
    await close();
  }
}

async function reportError(error: unknown, signal: AbortSignal): Promise<number> {
  if (error instanceof ReportedFailure) return error.exitCode;
  const { INTERRUPTED_EXIT_CODE, exitCodeOf } = await import('./errors/exit-code.js');
  if (signal.aborted) {
    process.stderr.write('interrupted\n');
    return INTERRUPTED_EXIT_CODE;
  }
  const [{ toCodedError }, { renderError }] = await Promise.all([
    import('@mvm/protocol'),
    import('./errors/render-error.js'),
  ]);
  const coded = toCodedError(error);
  const isTty = process.stderr.isTTY === true;
  process.stderr.write(renderError(coded, createColours({ isTty, env: process.env })));
  if (
    coded.reason === 'internal.unexpected' &&
    process.env.MVM_DEBUG !== undefined &&
    error instanceof Error
  ) {
    process.stderr.write(`${error.stack ?? ''}\n`);
  }
  return exitCodeOf(coded);
}
