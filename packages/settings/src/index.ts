export {
  environmentName,
  type LoadedSettings,
  loadSettings,
  type SettingSource,
  type SettingsInput,
  type SettingValues,
  tomlKey,
} from './load-settings.js';
export { renderSettingRows } from './render-settings.js';
export { type Setting, type SettingKind, type SettingsTable, settingKeys } from './setting.js';
