import { Command, CommanderError, Option } from 'commander';
import { withAdvice } from './advice.js';
import type { CommandModule } from './command.js';
import type { CommandEntry } from './command-entry.js';
import { Invocation } from './invocation.js';
import { OUTPUT_FORMATS, type OutputFormat } from './output-format.js';
import { COMMANDS, GROUPS } from './registry.js';

/** Options that every command takes. */
export interface GlobalOptions {
  readonly socket?: string;
  readonly quiet?: boolean;
  readonly output?: OutputFormat;
}

/** Carries out one call: the command, its arguments, and the options that hold for all commands. */
export type Execute = (
  module: CommandModule,
  invocation: Invocation,
  globals: GlobalOptions,
) => Promise<void>;

export interface ProgramOptions {
  readonly version: string;
  readonly execute: Execute;
  /** Besides those of the registry. */
  readonly extraCommands?: readonly CommandEntry[];
  readonly writeOut: (text: string) => void;
  readonly writeErr: (text: string) => void;
  /** Columns that help is wrapped to. */
  readonly helpWidth?: number | undefined;
}

const INTRODUCTION = `Runs and inspects tenants' microVMs on this host.

An instance is addressed as <tenant>/<pool>/<instance>. What runs is decided by the desired state:
write it to a file, "mvm apply" it, and watch "mvm status" and "mvm instance list".`;

/** What the exit codes mean, a line each or more. */
export const EXIT_CODES = `  0 done   1 internal error   2 usage or invalid argument   3 not found   4 conflict with the present state
  5 permission denied   6 daemon unreachable   7 out of some resource   8 versions do not match
  9 as desired but for what an operator holds (apply --wait, status)   10 converging (status)
  124 timed out   130 interrupted`;

const ENVIRONMENT = `Environment:
  MVM_SOCKET      socket of agentd's API, as --socket
  MVM_STATE_DIR   state directory of hostd, as --state-dir of the commands that have it
  NO_COLOR        any value turns colours off`;

/**
 * The tree of commands, as stubs: a command's own arguments and options are declared when it is called (or by
 * {@link configureAll}), so that starting the tool does not load what the call has no use for.
 */
export function buildProgram(options: ProgramOptions): Command {
  const program: Command = new Command('mvm')
    .description(INTRODUCTION)
    .usage('<command> [options]')
    .version(options.version, '-V, --version', 'Print the version of this tool')
    .helpOption('-h, --help', 'Explain the command')
    .helpCommand(false)
    .addOption(new Option('-o, --output <format>', 'How to print data').choices([...OUTPUT_FORMATS]))
    .option('--socket <path>', "Socket of agentd's API (MVM_SOCKET)")
    .option('-q, --quiet', 'Print no messages and no progress, only data and errors; of listings only names')
    .addHelpText('after', `\nExit codes:\n${EXIT_CODES}\n\n${ENVIRONMENT}\n`)
    .configureHelp({
      showGlobalOptions: true,
      visibleGlobalOptions: (command) => globalOptionsOf(program, command),
      ...(options.helpWidth ? { helpWidth: options.helpWidth } : {}),
    })
    .configureOutput({
      writeOut: options.writeOut,
      writeErr: options.writeErr,
      outputError: (text, write) => write(withAdvice(text)),
    })
    .exitOverride();
  for (const entry of [...COMMANDS, ...(options.extraCommands ?? [])])
    addStub(program, entry, options.execute);
  for (const command of [program, ...program.commands]) {
    command.showHelpAfterError(`hint: "${pathOf(command)} --help" explains it`);
    command.hook('preSubcommand', async (_parent, called) => {
      await configure(called);
    });
  }
  return program;
}

/** The tree of commands to be read, not called: for completion, the reference and the manual. */
export function buildSilentProgram(): Command {
  const nothing = (): void => {};
  const execute = (): Promise<never> => Promise.reject(new Error('bug: this tree of commands is only read'));
  return buildProgram({ version: '', execute, writeOut: nothing, writeErr: nothing });
}

/** Declares the arguments and options of all commands, for help, completion and the reference. */
export async function configureAll(program: Command): Promise<void> {
  for (const command of program.commands) {
    await configure(command);
    await configureAll(command);
  }
}

/** Declares a command's arguments and options, unless that was done. */
export async function configure(command: Command): Promise<void> {
  const stub = stubs.get(command);
  if (stub === undefined) return;
  stubs.delete(command);
  const module = await stub.entry.load();
  module.configure(command);
  modules.set(command, module);
  command.showHelpAfterError(`hint: "${pathOf(command)} --help" explains it`);
  command.action(() => {
    const globals = command.optsWithGlobals<GlobalOptions>();
    const format = chooseFormat(command, module, globals.output);
    return stub.execute(module, new Invocation(command.processedArgs, command.opts(), format), globals);
  });
}

/** The command's module once it is configured. */
export function moduleOf(command: Command): CommandModule | undefined {
  return modules.get(command);
}

/** `mvm instance list` for the command of that name. */
export function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}

const stubs = new WeakMap<Command, { entry: CommandEntry; execute: Execute }>();
const modules = new WeakMap<Command, CommandModule>();

function addStub(program: Command, entry: CommandEntry, execute: Execute): void {
  const [first = '', second] = entry.path;
  const parent = second === undefined ? program : groupOf(program, first);
  const command = parent.command(second ?? first, { hidden: entry.hidden ?? false }).summary(entry.summary);
  command.description(`${entry.summary}.`);
  command.aliases(entry.aliases ?? []);
  stubs.set(command, { entry, execute });
}

function groupOf(program: Command, name: string): Command {
  const found = program.commands.find((command) => command.name() === name);
  return (
    found ??
    program
      .command(name)
      .helpCommand(false)
      .usage('<command> [options]')
      .summary(GROUPS[name] ?? '')
      .description(`${GROUPS[name] ?? ''}.`)
  );
}

/** The options of the whole tool that mean something to a command. */
function globalOptionsOf(program: Command, command: Command): Option[] {
  if (command.commands.length > 0) return [];
  const formats = moduleOf(command)?.formats;
  return program.options.filter(
    ({ long }) =>
      long !== '--version' && (long !== '--output' || formats === undefined || formats.length > 0),
  );
}

function isListing(command: Command): boolean {
  return command.name() === 'list' || command.name() === 'ps' || command.name() === 'ls';
}

function chooseFormat(
  command: Command,
  module: CommandModule,
  asked: OutputFormat | undefined,
): OutputFormat {
  if (asked === undefined) {
    // As docker has it: a quiet listing is of names only.
    const { quiet } = command.optsWithGlobals<GlobalOptions>();
    if (quiet === true && isListing(command) && module.formats.includes('name')) return 'name';
    return module.formats[0] ?? 'table';
  }
  if (module.formats.includes(asked)) return asked;
  const instead =
    module.formats.length === 0 ? 'it takes no -o' : `it takes -o ${module.formats.join(', -o ')}`;
  return command.error(`error: ${pathOf(command)} cannot print ${asked}; ${instead}`, { code: 'mvm.format' });
}

/** The exit code of what commander threw, or undefined when it is something else. */
export function commanderExitCode(error: unknown): number | undefined {
  if (!(error instanceof CommanderError)) return undefined;
  const shown = ['commander.helpDisplayed', 'commander.version'];
  return shown.includes(error.code) ? 0 : 2;
}
