import { type LoadedSettings, loadSettings, type SettingsInput } from '@mvm/settings';
import { ENVIRONMENT_PREFIX, settings } from './settings.js';

export type LoadedConfig = LoadedSettings<typeof settings>;
export type ConfigInput = SettingsInput<typeof settings>;

/** hostd's configuration; see `loadSettings`. */
export function loadConfig(input: ConfigInput): LoadedConfig {
  return loadSettings(ENVIRONMENT_PREFIX, settings, input);
}
