import { environmentName, type Setting, settingKeys, settings, tomlKey } from './settings.js';

const HEAD = `# Configuration of mvm-hostd

Every setting can be given as a flag of \`mvm-hostd serve\`, as an environment variable, or as a key of a TOML file
(\`--config <file>\`, \`MVM_HOSTD_CONFIG\`, or \`/etc/mvm/hostd.toml\` when it is there). Where several name the same
setting, the flag wins over the environment, the environment over the file, the file over the default. A key in the file
that hostd does not know is refused, with the nearest one that it knows. \`mvm-hostd check-config\` shows what would be used,
and where each value comes from.

Lists are comma-separated as flag or variable (a flag may also be repeated), arrays in TOML. A list that is given replaces
the default whole.

| flag | variable | TOML key | default | meaning |
|---|---|---|---|---|
`;

const TAIL = `
## Who may connect

On every connection hostd asks the kernel who is calling (\`SO_PEERCRED\`), and serves exactly these:

- user id 0;
- a user id in \`allow_uid\`;
- a peer whose effective group, at the moment of connecting, is the group that \`group\` names;
- a user id whose account has that group as its primary group, or is listed as its member in \`/etc/group\`.

Anybody else gets an \`Error\` (\`permission_denied\`, reason \`peer.not_allowed\`) and is disconnected. A group that does not
exist admits nobody. Account files are read again when they change; groups that come from elsewhere (LDAP) are not seen.
hostd refuses to start where it cannot ask the kernel.

## A file to begin with

\`\`\`toml
# /etc/mvm/hostd.toml
group = "mvm"
log_level = "info"
# uplink = ["eth0"]
\`\`\`
`;

function cell(text: string): string {
  return text.replaceAll('|', '\\|');
}

function defaultText(value: Setting['defaultValue']): string {
  return typeof value === 'object'
    ? value.length === 0
      ? 'none'
      : `\`${value.join(',')}\``
    : `\`${value}\``;
}

/** The text of docs/hostd-config.md, made from the table of settings. */
export function renderSettingsPage(): string {
  const rows = settingKeys.map((key) => {
    const setting: Setting = settings[key];
    return `| ${[
      `\`--${setting.name} <${setting.placeholder}>\``,
      `\`${environmentName(setting)}\``,
      `\`${tomlKey(setting)}\``,
      defaultText(setting.defaultValue),
      setting.meaning,
    ]
      .map(cell)
      .join(' | ')} |`;
  });
  return `${HEAD}${rows.join('\n')}\n${TAIL}`;
}
