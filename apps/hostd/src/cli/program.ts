import { readFileSync } from 'node:fs';
import { CodedError } from '@mvm/protocol';
import { environmentName, type Setting, settingKeys, tomlKey } from '@mvm/settings';
import { Command, Option } from 'commander';
import { type LoadedConfig, loadConfig } from '../config/load-config.js';
import { ENVIRONMENT_PREFIX, type SettingKey, settings } from '../config/settings.js';
import { errnoOf } from '../state/fs-error.js';
import { HOSTD_VERSION } from '../version.js';

/** Read when it is there; one that is named by flag or environment must be. */
const DEFAULT_CONFIG_PATH = '/etc/mvm/hostd.toml';

export interface ProgramActions {
  serve(loaded: LoadedConfig): Promise<void>;
  print(text: string): void;
}

type FlagValues = Partial<Record<SettingKey, string | string[]>> & { config?: string };

function addSettings(command: Command): Command {
  command.option(
    '--config <file>',
    `TOML file with the same settings (default: ${DEFAULT_CONFIG_PATH} if there)`,
  );
  for (const key of settingKeys(settings)) {
    const setting: Setting = settings[key];
    const isList = setting.kind.endsWith('-list');
    const fallback = isList ? '' : ` (default: ${String(setting.defaultValue)})`;
    const option = new Option(`--${setting.name} <${setting.placeholder}>`, setting.meaning + fallback);
    if (isList) option.argParser((value: string, before: string[] | undefined) => [...(before ?? []), value]);
    command.addOption(option);
  }
  return command;
}

function readConfigFile(path: string, mustExist: boolean): { path: string; text: string } | null {
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

function load(values: FlagValues): LoadedConfig {
  const { config, ...flags } = values;
  const named = config ?? process.env.MVM_HOSTD_CONFIG;
  const file = readConfigFile(named ?? DEFAULT_CONFIG_PATH, named !== undefined);
  return loadConfig({ flags, environment: process.env, file });
}

function renderEffective(loaded: LoadedConfig): string {
  return settingKeys(settings)
    .map(
      (key) => `${tomlKey(settings[key])} = ${JSON.stringify(loaded.config[key])}  # ${loaded.sources[key]}`,
    )
    .join('\n');
}

const HELP = `
The privileged half of mvm: it runs microVMs for mvm-agentd, and does nothing that it is not asked for over its socket.

Settings come from flags, then MVM_HOSTD_* variables (${environmentName(ENVIRONMENT_PREFIX, settings.stateDir)} for --state-dir), then the
TOML file, then defaults. All of them: docs/hostd-config.md.

Try it:
  $ sudo mvm-hostd check-config                 what would be used, and where each value comes from
  $ sudo mvm-hostd serve                        serve on ${settings.socket.defaultValue}
  $ sudo unshare --net mvm-hostd serve --state-dir /tmp/s --run-dir /tmp/r --socket /tmp/r/hostd.sock \\
      --cgroup-parent try                       another one beside it, in a network of its own
  $ mvm ping                                    ask it whether it is there

Signals: SIGTERM and SIGINT stop it and leave VMs running (a second one does not wait for requests under way).`;

/** The command line of mvm-hostd. */
export function createProgram(actions: ProgramActions): Command {
  const program = new Command('mvm-hostd')
    .description('Runs microVMs on this host, as root, for mvm-agentd.')
    .version(HOSTD_VERSION)
    .addHelpText('after', HELP)
    .exitOverride();
  const serve = program.command('serve').description('serve until SIGTERM').exitOverride();
  addSettings(serve).action((values: FlagValues) => actions.serve(load(values)));
  const check = program
    .command('check-config')
    .description('check the settings and show them')
    .exitOverride();
  addSettings(check).action((values: FlagValues) => actions.print(renderEffective(load(values))));
  return program;
}
