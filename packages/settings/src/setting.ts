import type { z } from 'zod';

/**
 * How a setting's text (flag, variable) becomes a value. `duration`: `500ms`, `10s`, `2m`, `1h` or seconds, loaded as
 * milliseconds. Lists are separated by commas.
 */
export type SettingKind = 'text' | 'integer' | 'duration' | 'text-list' | 'integer-list' | 'switch';

/** One row: the flag is `--<name>`, the variable `<PREFIX>_<NAME>`, the TOML key `<name>` with underscores. */
export interface Setting {
  readonly name: string;
  readonly kind: SettingKind;
  /** What stands for the value in help; empty for a switch. */
  readonly placeholder: string;
  /** Of the loaded value. */
  readonly schema: z.ZodType;
  readonly defaultValue: string | number | boolean | readonly string[] | readonly number[] | null;
  readonly meaning: string;
}

/** Every setting of a daemon, once, by the key that its program uses. */
export type SettingsTable = Readonly<Record<string, Setting>>;

/** The keys of a table, in its order. */
export function settingKeys<T extends SettingsTable>(table: T): (keyof T & string)[] {
  return Object.keys(table);
}
