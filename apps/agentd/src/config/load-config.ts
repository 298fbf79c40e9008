import { loadSettings, type SettingsInput } from '@mvm/settings';
import { type AgentdConfig, ENVIRONMENT_PREFIX, settings } from './settings.js';

export type ConfigInput = SettingsInput<typeof settings>;

/** agentd's configuration; see `loadSettings`. */
export function loadConfig(input: ConfigInput): AgentdConfig {
  return loadSettings(ENVIRONMENT_PREFIX, settings, input).config;
}
