import { CodedError } from '@mvm/errors';
import { parse as parseToml } from 'smol-toml';
import type { z } from 'zod';
import { nearestName } from './nearest-name.js';
import { type Setting, type SettingsTable, settingKeys } from './setting.js';

/** Where a value came from. */
export type SettingSource = 'flag' | 'environment' | 'file' | 'default';

/** All settings of a table, validated; durations are milliseconds. */
export type SettingValues<T extends SettingsTable> = {
  readonly [K in keyof T]: Readonly<z.output<T[K]['schema']>>;
};

export interface LoadedSettings<T extends SettingsTable> {
  readonly config: SettingValues<T>;
  readonly sources: Readonly<Record<keyof T, SettingSource>>;
}

export interface SettingsInput<T extends SettingsTable> {
  /** Values of flags by setting key: text as typed (one element each time a list is given), true for a switch. */
  readonly flags: Readonly<Partial<Record<keyof T, string | true | readonly string[]>>>;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** The TOML file, or null when there is none. */
  readonly file: { readonly path: string; readonly text: string } | null;
}

/** The variable of a setting: `MVM_HOSTD_STATE_DIR` of `state-dir` with prefix `MVM_HOSTD`. */
export function environmentName(prefix: string, { name }: Pick<Setting, 'name'>): string {
  return `${prefix}_${name.replaceAll('-', '_').toUpperCase()}`;
}

/** The TOML key of a setting: `state_dir` of `state-dir`. */
export function tomlKey({ name }: Pick<Setting, 'name'>): string {
  return name.replaceAll('-', '_');
}

function invalid(where: string, problem: string, hint: string): CodedError {
  return new CodedError({
    code: 'invalid_argument',
    reason: 'config.invalid',
    message: `${where}: ${problem}`,
    hint,
  });
}

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const SWITCH: Readonly<Record<string, boolean>> = { true: true, '1': true, false: false, '0': false };

/** Milliseconds of `500ms`, `10s`, `2m`, `1h` or a number of seconds; anything else is returned as it is. */
export function parseDurationMs(value: unknown): unknown {
  if (typeof value === 'number') return Math.round(value * 1000);
  if (typeof value !== 'string') return value;
  const match = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)?$/.exec(value.trim());
  if (match === null) return value;
  return Math.round(Number(match[1]) * (UNIT_MS[match[2] ?? 's'] ?? 1000));
}

function fromText({ kind }: Setting, raw: string | readonly string[]): unknown {
  const given = typeof raw === 'string' ? [raw] : raw;
  const parts = given.flatMap((text) => text.split(',')).map((part) => part.trim());
  const last = given.at(-1) ?? '';
  const number = (text: string): unknown => (/^\d{1,16}$/.test(text) ? Number(text) : text);
  switch (kind) {
    case 'text':
    case 'duration':
      return last;
    case 'integer':
      return number(last.trim());
    case 'text-list':
      return parts.filter((part) => part !== '');
    case 'integer-list':
      return parts.filter((part) => part !== '').map(number);
    case 'switch':
      return SWITCH[last.trim()] ?? last;
  }
}

function readFileValues(
  table: SettingsTable,
  file: SettingsInput<SettingsTable>['file'],
): Map<string, unknown> {
  if (file === null) return new Map();
  let values: Record<string, unknown>;
  try {
    values = parseToml(file.text);
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    throw invalid(file.path, problem, 'Correct the TOML syntax.');
  }
  const known = Object.values(table).map(tomlKey);
  for (const key of Object.keys(values)) {
    if (known.includes(key)) continue;
    const nearest = nearestName(key.replaceAll('-', '_'), known);
    throw invalid(
      file.path,
      `unknown key ${JSON.stringify(key.slice(0, 64))}`,
      nearest === null ? `Known keys: ${known.join(', ')}.` : `Did you mean "${nearest}"?`,
    );
  }
  return new Map(Object.entries(values));
}

/**
 * Settings out of flags, variables, TOML file and defaults, in this order of precedence. Pure. Throws
 * `invalid_argument`, reason `config.invalid`, naming where the bad value stands; an unknown TOML key is refused with
 * the nearest known one.
 */
export function loadSettings<T extends SettingsTable>(
  prefix: string,
  table: T,
  input: SettingsInput<T>,
): LoadedSettings<T> {
  const fileValues = readFileValues(table, input.file);

  function find(
    key: keyof T,
    setting: Setting,
  ): { readonly source: SettingSource; readonly where: string; readonly value: unknown } {
    const flag = input.flags[key];
    if (flag !== undefined) {
      const value = flag === true ? true : fromText(setting, flag);
      return { source: 'flag', where: `--${setting.name}`, value };
    }
    const variable = environmentName(prefix, setting);
    const text = input.environment[variable];
    if (text !== undefined) return { source: 'environment', where: variable, value: fromText(setting, text) };
    const name = tomlKey(setting);
    if (fileValues.has(name))
      return { source: 'file', where: `${input.file?.path}, ${name}`, value: fileValues.get(name) };
    return { source: 'default', where: `--${setting.name} (default)`, value: setting.defaultValue };
  }

  const config: Record<string, unknown> = {};
  const sources: Record<string, SettingSource> = {};
  for (const key of settingKeys(table)) {
    const setting = table[key] as Setting;
    const { source, where, value } = find(key, setting);
    const result = setting.schema.safeParse(setting.kind === 'duration' ? parseDurationMs(value) : value);
    if (!result.success) {
      const problem = result.error.issues[0]?.message ?? 'is not valid';
      const shown = JSON.stringify(value)?.slice(0, 200) ?? 'nothing';
      const hint = `${setting.meaning} Default: ${JSON.stringify(setting.defaultValue)}.`;
      throw invalid(where, `${shown} ${problem}`, hint);
    }
    config[key] = result.data;
    sources[key] = source;
  }
  // Every key of the table was validated by its own schema just above.
  return { config, sources } as LoadedSettings<T>;
}
