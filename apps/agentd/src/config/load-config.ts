import { CodedError } from '@mvm/protocol';
import { parse as parseToml } from 'smol-toml';
import {
  type AgentdConfig,
  environmentName,
  type Setting,
  type SettingKey,
  settingKeys,
  settings,
  tomlKey,
} from './settings.js';

export interface ConfigInput {
  /** Values of flags by setting key, as typed; true for a switch. */
  readonly flags: Readonly<Partial<Record<SettingKey, string | true>>>;
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

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };

/** Milliseconds of `500ms`, `10s`, `2m`, `1h` or a number of seconds; anything else is returned as it is. */
export function parseDurationMs(value: unknown): unknown {
  if (typeof value === 'number') return Math.round(value * 1000);
  if (typeof value !== 'string') return value;
  const match = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h)?$/.exec(value.trim());
  if (match === null) return value;
  return Math.round(Number(match[1]) * (UNIT_MS[match[2] ?? 's'] ?? 1000));
}

function fromText(setting: Setting, text: string): unknown {
  switch (setting.kind) {
    case 'text':
    case 'duration':
      return text;
    case 'integer':
      return /^\d{1,15}$/.test(text.trim()) ? Number(text) : text;
    case 'text-list':
      return text
        .split(',')
        .map((part) => part.trim())
        .filter((part) => part !== '');
    case 'switch':
      return { true: true, '1': true, false: false, '0': false }[text.trim()] ?? text;
  }
}

function readFileValues(file: ConfigInput['file']): Map<string, unknown> {
  if (file === null) return new Map();
  let table: Record<string, unknown>;
  try {
    table = parseToml(file.text);
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    throw invalid(file.path, problem, 'Correct the TOML syntax.');
  }
  const known = settingKeys.map((key) => tomlKey(settings[key]));
  for (const key of Object.keys(table)) {
    if (known.includes(key)) continue;
    const shown = JSON.stringify(key.slice(0, 64));
    throw invalid(file.path, `unknown key ${shown}`, `Known keys: ${known.join(', ')}.`);
  }
  return new Map(Object.entries(table));
}

function readOne(
  key: SettingKey,
  input: ConfigInput,
  values: Map<string, unknown>,
): { where: string; value: unknown } {
  const setting: Setting = settings[key];
  const flag = input.flags[key];
  if (flag !== undefined) {
    return { where: `--${setting.name}`, value: flag === true ? true : fromText(setting, flag) };
  }
  const variable = environmentName(setting);
  const text = input.environment[variable];
  if (text !== undefined) return { where: variable, value: fromText(setting, text) };
  if (values.has(tomlKey(setting))) {
    return { where: `${input.file?.path}, ${tomlKey(setting)}`, value: values.get(tomlKey(setting)) };
  }
  return { where: `--${setting.name} (default)`, value: setting.defaultValue };
}

/**
 * The configuration out of flags, environment, TOML file and defaults, in this order of precedence. Pure. Throws
 * `invalid_argument`, reason `config.invalid`, naming where the bad value stands.
 */
export function loadConfig(input: ConfigInput): AgentdConfig {
  const values = readFileValues(input.file);
  const config: Record<string, unknown> = {};
  for (const key of settingKeys) {
    const setting: Setting = settings[key];
    const { where, value } = readOne(key, input, values);
    const result = setting.schema.safeParse(setting.kind === 'duration' ? parseDurationMs(value) : value);
    if (!result.success) {
      const problem = result.error.issues[0]?.message ?? 'is not valid';
      const hint = `${setting.meaning} Default: ${JSON.stringify(setting.defaultValue)}.`;
      throw invalid(where, `${JSON.stringify(value)?.slice(0, 200) ?? 'nothing'}: ${problem}`, hint);
    }
    config[key] = result.data;
  }
  // Every key of the table was validated by its own schema just above.
  return config as AgentdConfig;
}
