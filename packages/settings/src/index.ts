export {
  environmentName,
  type LoadedSettings,
  loadSettings,
  type SettingsInput,
  type SettingValues,
  tomlKey,
} from './load-settings.js';
export { renderSettingRows } from './render-settings.js';
export { type Setting, type SettingsTable, settingKeys } from './setting.js';
