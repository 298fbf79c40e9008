import { CodedError } from '@mvm/protocol';
import { parse as parseToml } from 'smol-toml';
import { nearestName } from './nearest-name.js';
import {
  environmentName,
  type HostdConfig,
  type Setting,
  type SettingKey,
  settingKeys,
  settings,
  tomlKey,
} from './settings.js';

/** Where a value came from. */
export type SettingSource = 'flag' | 'environment' | 'file' | 'default';

export interface LoadedConfig {
  readonly config: HostdConfig;
  readonly sources: Readonly<Record<SettingKey, SettingSource>>;
}

export interface ConfigInput {
  /** Values of flags by setting key; text as typed, lists already one element per item. */
  readonly flags: Readonly<Partial<Record<SettingKey, string | readonly string[]>>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The TOML file, or null when there is none. */
  readonly file: { readonly path: string; readonly text: string } | null;
}

function invalid(where: string, problem: string, hint: string): CodedError {
  return new CodedError({
    code: 'invalid_argument',
    reason: 'config.invalid',
    message: `${where}: ${problem}`,
    hint,
  });
}

function fromText(setting: Setting, raw: string | readonly string[]): unknown {
  const parts = (typeof raw === 'string' ? [raw] : raw)
    .flatMap((text) => text.split(','))
    .map((part) => part.trim());
  const number = (text: string): unknown => (/^\d{1,16}$/.test(text) ? Number(text) : text);
  switch (setting.kind) {
    case 'text':
      return typeof raw === 'string' ? raw : raw.at(-1);
    case 'integer':
      return number(parts.at(-1) ?? '');
    case 'text-list':
      return parts.filter((part) => part !== '');
    case 'integer-list':
      return parts.filter((part) => part !== '').map(number);
  }
}

function readFileValues(file: ConfigInput['file']): Map<string, unknown> {
  if (file === null) return new Map();
  let table: Record<string, unknown>;
  try {
    table = parseToml(file.text);
  } catch (error) {
    throw invalid(
      file.path,
      error instanceof Error ? error.message : String(error),
      'Correct the TOML syntax.',
    );
  }
  const known = settingKeys.map((key) => tomlKey(settings[key]));
  for (const key of Object.keys(table)) {
    if (known.includes(key)) continue;
    const nearest = nearestName(key.replaceAll('-', '_'), known);
    throw invalid(
      file.path,
      `unknown key ${JSON.stringify(key.slice(0, 64))}`,
      nearest === null ? `Known keys: ${known.join(', ')}.` : `Did you mean "${nearest}"?`,
    );
  }
  return new Map(Object.entries(table));
}

function readOne(
  setting: Setting,
  flag: string | readonly string[] | undefined,
  environment: string | undefined,
  file: { path: string; values: Map<string, unknown> },
): { source: SettingSource; where: string; value: unknown } {
  if (flag !== undefined)
    return { source: 'flag', where: `--${setting.name}`, value: fromText(setting, flag) };
  if (environment !== undefined) {
    const where = environmentName(setting);
    return { source: 'environment', where, value: fromText(setting, environment) };
  }
  const key = tomlKey(setting);
  if (file.values.has(key))
    return { source: 'file', where: `${file.path}, ${key}`, value: file.values.get(key) };
  return { source: 'default', where: `--${setting.name} (default)`, value: setting.defaultValue };
}

/**
 * The configuration out of flags, environment, TOML file and defaults, in this order of precedence. Pure. Throws
 * `invalid_argument`, reason `config.invalid`, naming where the bad value stands; an unknown TOML key is refused with
 * the nearest known one.
 */
export function loadConfig(input: ConfigInput): LoadedConfig {
  const file = { path: input.file?.path ?? '', values: readFileValues(input.file) };
  const config: Record<string, unknown> = {};
  const sources: Record<string, SettingSource> = {};
  for (const key of settingKeys) {
    const setting: Setting = settings[key];
    const found = readOne(setting, input.flags[key], input.environment[environmentName(setting)], file);
    const result = setting.schema.safeParse(found.value);
    if (!result.success) {
      const problem = result.error.issues[0]?.message ?? 'is not valid';
      throw invalid(
        found.where,
        `${JSON.stringify(found.value)?.slice(0, 200) ?? 'nothing'} ${problem}`,
        `${setting.meaning} Default: ${JSON.stringify(setting.defaultValue)}.`,
      );
    }
    config[key] = result.data;
    sources[key] = found.source;
  }
  // Every key of the table was validated by its own schema just above.
  return { config: config as HostdConfig, sources: sources as Record<SettingKey, SettingSource> };
}
