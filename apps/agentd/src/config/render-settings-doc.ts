import { environmentName, type Setting, settingKeys, settings, tomlKey } from './settings.js';

function showDefault(setting: Setting): string {
  const value = setting.defaultValue;
  if (value === null || value === false || (Array.isArray(value) && value.length === 0)) return '';
  return `\`${String(value)}\``;
}

/** docs/agentd-config.md, made from the settings table; a test fails when the file differs. */
export function renderSettingsDoc(): string {
  const rows = settingKeys.map((key) => {
    const setting: Setting = settings[key];
    const flag =
      setting.placeholder === '' ? `--${setting.name}` : `--${setting.name} <${setting.placeholder}>`;
    const cells = [
      `\`${flag}\``,
      `\`${environmentName(setting)}\``,
      `\`${tomlKey(setting)}\``,
      showDefault(setting),
    ];
    return `| ${[...cells, setting.meaning].join(' | ')} |`;
  });
  return `# Settings of mvm-agentd

<!-- Made from apps/agentd/src/config/settings.ts; a test fails when they differ. -->

\`mvm-agentd serve\` takes each setting from its flag, else its environment variable, else the TOML file that \`--config\`
(or \`MVM_AGENTD_CONFIG\`) names, else its default. An unknown key in the file, or a value that is not valid, is refused
at start with the place where it stands. Lists are separated by commas in flags and variables, and arrays in TOML. A
duration is \`500ms\`, \`10s\`, \`2m\`, \`1h\`, or a number of seconds. A switch is \`true\` or \`false\` in a variable or file.

| flag | variable | TOML key | default | meaning |
|---|---|---|---|---|
${rows.join('\n')}

## Privileges

agentd needs none: it refuses to start as uid 0, or with any effective capability, unless \`--allow-root\` is given. What
it needs is membership of the group that may talk to hostd, and a state directory of its own.

## Where the desired state comes from

Exactly one place. With \`--desired\`, the file: it is looked at every second, a file that is invalid or gone changes
nothing and is shown as an error by \`GET /v1/status\`, and \`PUT /v1/desired\` is refused with 409, reason
\`desired.from_file\`. Without it, the API: \`PUT /v1/desired\` is answered once the state is on disk, in
\`<state-dir>/desired.json\`, and outlives restarts.
`;
}
