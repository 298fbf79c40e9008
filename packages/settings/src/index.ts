export { runProgram, type SettingsSource, settingsCommand } from './command-line.js';
export {
  type LoadedSettings,
  loadSettings,
  type SettingsInput,
  type SettingValues,
  tomlKey,
} from './load-settings.js';
export { renderSettingRows } from './render-settings.js';
export { type SettingsTable, settingKeys } from './setting.js';
