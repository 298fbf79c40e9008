import { readFileSync } from 'node:fs';
import { CodedError } from '@mvm/protocol';
import { environmentName, type Setting, settingKeys } from '@mvm/settings';
import { Command, Option } from 'commander';
import { loadConfig } from './config/load-config.js';
import { type AgentdConfig, ENVIRONMENT_PREFIX, type SettingKey, settings } from './config/settings.js';

function readConfigFile(path: string | undefined): { path: string; text: string } | null {
  if (path === undefined) return null;
  try {
    return { path, text: readFileSync(path, 'utf8') };
  } catch (cause) {
    throw new CodedError({
      code: 'invalid_argument',
      reason: 'config.unreadable',
      message: `cannot read the configuration file ${path}: ${cause instanceof Error ? cause.message : String(cause)}`,
      hint: 'Name a readable TOML file with --config, or leave it out.',
      cause,
    });
  }
}

/** `mvm-agentd serve`, with a flag for every setting; `run` gets the loaded configuration. */
export function serveCommand(
  environment: Readonly<Record<string, string | undefined>>,
  run: (config: AgentdConfig) => Promise<void>,
): Command {
  const command = new Command('serve').description('Keep this host at its desired state, and serve the API.');
  command.addOption(new Option('--config <file>', 'TOML file with settings').env('MVM_AGENTD_CONFIG'));
  for (const key of settingKeys(settings)) {
    const setting: Setting = settings[key];
    const flag =
      setting.placeholder === '' ? `--${setting.name}` : `--${setting.name} <${setting.placeholder}>`;
    const fallback =
      setting.defaultValue === null ? '' : ` Default: ${JSON.stringify(setting.defaultValue)}.`;
    command.addOption(
      new Option(flag, `${setting.meaning}${fallback} (${environmentName(ENVIRONMENT_PREFIX, setting)})`),
    );
  }
  command.action(async (options: { config?: string } & Partial<Record<SettingKey, string | true>>) => {
    const { config: path, ...flags } = options;
    await run(loadConfig({ flags, environment, file: readConfigFile(path) }));
  });
  return command;
}
