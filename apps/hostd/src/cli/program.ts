import {
  type LoadedSettings,
  type SettingsSource,
  settingKeys,
  settingsCommand,
  tomlKey,
} from '@mvm/settings';
import { Command } from 'commander';
import { ENVIRONMENT_PREFIX, settings } from '../config/settings.js';
import { HOSTD_VERSION } from '../version.js';

type LoadedConfig = LoadedSettings<typeof settings>;

const SOURCE: SettingsSource<typeof settings> = {
  table: settings,
  prefix: ENVIRONMENT_PREFIX,
  configPath: '/etc/mvm/hostd.toml',
};

export interface ProgramActions {
  serve(loaded: LoadedConfig): Promise<void>;
  print(text: string): void;
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

Settings come from flags, then MVM_HOSTD_* variables (MVM_HOSTD_STATE_DIR for --state-dir), then the
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
  settingsCommand(serve, SOURCE, actions.serve);
  const check = program
    .command('check-config')
    .description('check the settings and show them')
    .exitOverride();
  settingsCommand(check, SOURCE, (loaded) => actions.print(renderEffective(loaded)));
  return program;
}

export function printLine(text: string): void {
  process.stdout.write(`${text}\n`);
}
