import { expect, it } from 'vitest';
import { z } from 'zod';
import { environmentName, loadSettings, parseDurationMs, tomlKey } from './load-settings.js';
import { renderSettingRows } from './render-settings.js';
import type { SettingsTable } from './setting.js';

const table = {
  wait: {
    name: 'wait-time',
    kind: 'duration',
    placeholder: 'duration',
    schema: z.int().min(10),
    defaultValue: '2s',
    meaning: 'How long it waits.',
  },
  ports: {
    name: 'ports',
    kind: 'integer-list',
    placeholder: 'port,…',
    schema: z.array(z.int().max(65_535)),
    defaultValue: [] as readonly number[],
    meaning: 'Where it listens.',
  },
  loud: {
    name: 'loud',
    kind: 'switch',
    placeholder: '',
    schema: z.boolean(),
    defaultValue: false,
    meaning: 'Says a | b.',
  },
} as const satisfies SettingsTable;

const load = (input: Partial<Parameters<typeof loadSettings<typeof table>>[2]>) =>
  loadSettings('MVM_X', table, { flags: {}, environment: {}, file: null, ...input });

it('takes a flag before a variable before the file before the default, and says which', () => {
  const file = { path: 'f.toml', text: 'wait_time = 3\nports = [1, 2]\nloud = true' };
  const environment = { MVM_X_WAIT_TIME: '4s', MVM_X_PORTS: '3, 4' };
  expect(load({})).toEqual({
    config: { wait: 2000, ports: [], loud: false },
    sources: { wait: 'default', ports: 'default', loud: 'default' },
  });
  expect(load({ file, environment, flags: { wait: '5s' } })).toEqual({
    config: { wait: 5000, ports: [3, 4], loud: true },
    sources: { wait: 'flag', ports: 'environment', loud: 'file' },
  });
  expect(load({ flags: { ports: ['1,2', '3'], loud: true } }).config).toMatchObject({
    ports: [1, 2, 3],
    loud: true,
  });
});

it.each([
  [{ flags: { wait: 'soon' } }, '--wait-time: "soon"', 'How long it waits. Default: "2s".'],
  [{ environment: { MVM_X_LOUD: 'yes' } }, 'MVM_X_LOUD: "yes"', 'Default: false'],
  [{ file: { path: 'f.toml', text: 'wait-time = 1' } }, 'f.toml: unknown key', 'Did you mean "wait_time"?'],
  [{ file: { path: 'f.toml', text: 'colour = 1' } }, 'f.toml: unknown key "colour"', 'Known keys: wait_time'],
  [{ file: { path: 'f.toml', text: '= 1' } }, 'f.toml: ', 'Correct the TOML syntax.'],
  [{ file: { path: 'f.toml', text: 'ports = 1' } }, 'f.toml, ports: 1', 'Where it listens.'],
])('refuses bad input %#, naming where it stands and what is expected', (input, message, hint) => {
  expect(() => load(input)).toThrow(
    expect.objectContaining({
      code: 'invalid_argument',
      reason: 'config.invalid',
      message: expect.stringContaining(message),
      hint: expect.stringContaining(hint),
    }),
  );
});

it.each([
  ['500ms', 500],
  ['1.5s', 1500],
  ['2m', 120_000],
  ['1h', 3_600_000],
  ['10', 10_000],
  [0.25, 250],
  ['-1s', '-1s'],
  ['1 s', '1 s'],
])('parseDurationMs(%j) is %j', (value, expected) => {
  expect(parseDurationMs(value)).toBe(expected);
});

it('renders a row for each setting', () => {
  expect(environmentName('MVM_X', table.wait)).toBe('MVM_X_WAIT_TIME');
  expect(tomlKey(table.wait)).toBe('wait_time');
  const [, , ...rows] = renderSettingRows('MVM_X', table).trim().split('\n');
  expect(rows).toEqual([
    '| `--wait-time <duration>` | `MVM_X_WAIT_TIME` | `wait_time` | `2s` | How long it waits. |',
    '| `--ports <port,…>` | `MVM_X_PORTS` | `ports` | none | Where it listens. |',
    '| `--loud` | `MVM_X_LOUD` | `loud` | `false` | Says a \\| b. |',
  ]);
});
