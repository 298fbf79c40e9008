import { type LoadedSettings, loadSettings, type SettingsInput } from '@mvm/settings';
import { expect, test } from 'vitest';
import { ENVIRONMENT_PREFIX, settings } from './settings.js';

type ConfigInput = SettingsInput<typeof settings>;

function load(input: Partial<ConfigInput>): LoadedSettings<typeof settings> {
  return loadSettings(ENVIRONMENT_PREFIX, settings, { flags: {}, environment: {}, file: null, ...input });
}

const file = (text: string): ConfigInput['file'] => ({ path: '/etc/mvm/hostd.toml', text });

test('without anything, every setting has its default and says so', () => {
  const { config, sources } = load({});
  expect(config.socket).toBe('/run/mvm/hostd.sock');
  expect(config.allowUid).toEqual([]);
  expect(new Set(Object.values(sources))).toEqual(new Set(['default']));
});

test('a flag wins over the environment, that over the file, that over the default', () => {
  const environment = { MVM_HOSTD_LOG_LEVEL: 'warn', MVM_HOSTD_MAX_IN_FLIGHT: '7' };
  const text = 'log_level = "error"\nmax_in_flight = 9\nmax_connections = 11\n';
  const { config, sources } = load({ flags: { logLevel: 'debug' }, environment, file: file(text) });
  expect([config.logLevel, config.maxInFlight, config.maxConnections]).toEqual(['debug', 7, 11]);
  expect([sources.logLevel, sources.maxInFlight, sources.maxConnections, sources.group]).toEqual([
    'flag',
    'environment',
    'file',
    'default',
  ]);
});

test('lists are comma-separated as text and arrays in the file', () => {
  expect(load({ flags: { allowUid: ['1000,1001', '1002'] } }).config.allowUid).toEqual([1000, 1001, 1002]);
  expect(load({ environment: { MVM_HOSTD_UPLINK: 'eth0, eth1' } }).config.uplink).toEqual(['eth0', 'eth1']);
  expect(load({ file: file('allow_uid = [5]') }).config.allowUid).toEqual([5]);
  expect(load({ environment: { MVM_HOSTD_UPLINK: '' } }).config.uplink).toEqual([]);
});

test.each([
  ['statedir = "/x"', 'unknown key "statedir"', 'Did you mean "state_dir"?'],
  ['log-level = "info"', 'unknown key "log-level"', 'Did you mean "log_level"?'],
  ['colour = "red"', 'unknown key "colour"', 'Known keys:'],
])('the unknown TOML key in %j is refused', (text, message, hint) => {
  expect(() => load({ file: file(text) })).toThrow(
    expect.objectContaining({
      reason: 'config.invalid',
      message: expect.stringContaining(message),
      hint: expect.stringContaining(hint),
    }),
  );
});

test.each([
  [{ flags: { socket: 'hostd.sock' } }, '--socket: "hostd.sock" must be an absolute path'],
  [{ flags: { socket: `/${'x'.repeat(107)}` } }, '107 bytes'],
  [{ flags: { maxInFlight: 'many' } }, '--max-in-flight: "many"'],
  [{ flags: { maxInFlight: '-1' } }, '--max-in-flight'],
  [{ flags: { allowUid: ['1000,root'] } }, '--allow-uid'],
  [{ environment: { MVM_HOSTD_CLUSTER_CIDR: '10.240.0.1/12' } }, 'MVM_HOSTD_CLUSTER_CIDR'],
  [{ environment: { MVM_HOSTD_VMM: 'xen' } }, 'MVM_HOSTD_VMM'],
  [{ flags: { cgroupParent: '../x' } }, '--cgroup-parent'],
  [{ flags: { uplink: ['eth0;reboot'] } }, '--uplink'],
  [{ file: { path: '/c.toml', text: 'max_in_flight = "8"' } }, '/c.toml, max_in_flight'],
  [{ file: { path: '/c.toml', text: 'a = [' } }, '/c.toml: '],
])('%j is refused, naming where it stands', (input, message) => {
  expect(() => load(input)).toThrow(
    expect.objectContaining({
      code: 'invalid_argument',
      reason: 'config.invalid',
      message: expect.stringContaining(message),
    }),
  );
});
