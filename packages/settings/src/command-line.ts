import { readFileSync } from 'node:fs';
import { CodedError, ERROR_CODES, errnoOf, toCodedError } from '@mvm/errors';
import { type Command, CommanderError, Option } from 'commander';
import { environmentName, type LoadedSettings, loadSettings, type SettingsInput } from './load-settings.js';
import { type Setting, type SettingsTable, settingKeys } from './setting.js';

/** Where a program's settings are. */
export interface SettingsSource<T extends SettingsTable> {
  readonly table: T;
  /** Of the variables, e.g. `MVM_HOSTD`; `<prefix>_CONFIG` names the TOML file, as `--config` does. */
  readonly prefix: string;
  /** The TOML file that is read when it is there and no other is named; null: none. */
  readonly configPath: string | null;
}

/**
 * Gives a command `--config` and a flag for each setting; `run` gets what flags, variables, the file and defaults come to.
 * When called it throws `invalid_argument`, reasons `config.unreadable` and `config.invalid`, and what `run` does.
 */
export function settingsCommand<T extends SettingsTable>(
  command: Command,
  { table, prefix, configPath }: SettingsSource<T>,
  run: (loaded: LoadedSettings<T>) => Promise<void> | void,
): Command {
  const otherwise = configPath === null ? '' : `; default: ${configPath} if there`;
  command.option('--config <file>', `TOML file with the same settings (${prefix}_CONFIG${otherwise})`);
  for (const key of settingKeys(table)) command.addOption(flagOf(table[key] as Setting, prefix));
  return command.action(({ config, ...rest }: Record<string, string>) => {
    const named = config ?? process.env[`${prefix}_CONFIG`];
    const file = readConfigFile(named ?? configPath, named !== undefined);
    const flags = rest as SettingsInput<T>['flags'];
    return run(loadSettings(prefix, table, { flags, environment: process.env, file }));
  });
}

function flagOf(setting: Setting, prefix: string): Option {
  const { name, placeholder, meaning, defaultValue, kind } = setting;
  const isList = kind.endsWith('-list');
  const fallback = defaultValue === null || isList ? '' : `default: ${String(defaultValue)}; `;
  const option = new Option(
    placeholder === '' ? `--${name}` : `--${name} <${placeholder}>`,
    `${meaning} (${fallback}${environmentName(prefix, setting)})`,
  );
  if (isList) option.argParser((value: string, before: string[] | undefined) => [...(before ?? []), value]);
  return option;
}

function readConfigFile(path: string | null, mustExist: boolean): { path: string; text: string } | null {
  if (path === null) return null;
  try {
    return { path, text: readFileSync(path, 'utf8') };
  } catch (error) {
    if (!mustExist && errnoOf(error) === 'ENOENT') return null;
    throw new CodedError({
      code: 'invalid_argument',
      reason: 'config.unreadable',
      message: `cannot read ${path}: ${error instanceof Error ? error.message : error}`,
      hint: 'Name an existing file by --config, or leave it out.',
      cause: error,
    });
  }
}

/**
 * Runs the command line of this process. What it throws is reported on stderr, and sets the exit status: that of the
 * error's code.
 */
export async function runProgram(program: Command): Promise<void> {
  try {
    await program.parseAsync();
  } catch (error) {
    // Commander has printed its own message already.
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : ERROR_CODES.invalid_argument.exitCode;
      return;
    }
    const { code, reason, message, hint } = toCodedError(error);
    const lines = [`${program.name()}: ${message} (${reason})`, ...(hint === undefined ? [] : [`  ${hint}`])];
    if (reason === 'internal.unexpected' && error instanceof Error) lines.push(String(error.stack));
    process.stderr.write(`${lines.join('\n')}\n`);
    process.exitCode = ERROR_CODES[code].exitCode;
  }
}
