import { loadSettings, type SettingsInput } from '@mvm/settings';
import { describe, expect, it } from 'vitest';
import { ENVIRONMENT_PREFIX, settings } from './settings.js';

const loadConfig = (input: SettingsInput<typeof settings>) =>
  loadSettings(ENVIRONMENT_PREFIX, settings, input).config;

const nothing = { flags: {}, environment: {}, file: null };

describe('the settings of agentd', () => {
  it('has defaults for everything, with durations in milliseconds', () => {
    expect(loadConfig(nothing)).toMatchObject({
      socket: '/run/mvm/agentd.sock',
      desired: null,
      interval: 10_000,
      actionTimeout: 180_000,
      allowRoot: false,
      pinned: [],
    });
  });

  it('takes a flag before the environment before the file', () => {
    const file = {
      path: 'f.toml',
      text: 'interval = "1s"\nparallel_actions = 2\npinned = ["acme"]\nallow_root = true',
    };
    const environment = { MVM_AGENTD_INTERVAL: '2s', MVM_AGENTD_PARALLEL_ACTIONS: '3' };
    expect(loadConfig({ flags: { interval: '3s' }, environment, file })).toMatchObject({
      interval: 3000,
      parallelActions: 3,
      pinned: ['acme'],
      allowRoot: true,
    });
  });

  it('splits lists at commas', () => {
    const { critical } = loadConfig({ ...nothing, flags: { critical: 'acme, beta/workers' } });
    expect(critical).toEqual(['acme', 'beta/workers']);
  });

  it.each([
    [{ ...nothing, flags: { interval: 'soon' } }, '--interval: "soon" must be a duration'],
    [{ ...nothing, flags: { interval: '1ms' } }, '--interval'],
    [{ ...nothing, environment: { MVM_AGENTD_MAX_ACTIONS: '0' } }, 'MVM_AGENTD_MAX_ACTIONS'],
    [{ ...nothing, environment: { MVM_AGENTD_ALLOW_ROOT: 'yes' } }, 'MVM_AGENTD_ALLOW_ROOT'],
    [{ ...nothing, file: { path: 'f.toml', text: 'intervall = "1s"' } }, 'f.toml: unknown key "intervall"'],
    [{ ...nothing, file: { path: 'f.toml', text: 'pinned = "acme"' } }, 'f.toml, pinned'],
    [{ ...nothing, file: { path: 'f.toml', text: '= 1' } }, 'f.toml: '],
    [{ ...nothing, flags: { socket: `/${'a'.repeat(107)}` } }, '107 bytes'],
  ])('refuses bad input %#, naming where it stands', (input, message) => {
    expect(() => loadConfig(input)).toThrow(
      expect.objectContaining({ code: 'invalid_argument', message: expect.stringContaining(message) }),
    );
  });
});
