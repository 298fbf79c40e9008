import { environmentName, tomlKey } from './load-settings.js';
import type { Setting, SettingsTable } from './setting.js';

function defaultText(value: Setting['defaultValue']): string {
  if (value === null || (Array.isArray(value) && value.length === 0)) return 'none';
  return `\`${Array.isArray(value) ? value.join(',') : String(value)}\``;
}

/** A Markdown table of all settings: flag, variable, TOML key, default, meaning. Ends with a newline. */
export function renderSettingRows(prefix: string, table: SettingsTable): string {
  const rows = Object.values(table).map((setting) => {
    const { name, placeholder, defaultValue, meaning } = setting;
    const cells = [
      `\`--${name}${placeholder === '' ? '' : ` <${placeholder}>`}\``,
      `\`${environmentName(prefix, setting)}\``,
      `\`${tomlKey(setting)}\``,
      defaultText(defaultValue),
      meaning,
    ];
    return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`;
  });
  return `| flag | variable | TOML key | default | meaning |\n|---|---|---|---|---|\n${rows.join('')}`;
}
