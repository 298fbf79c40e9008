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

## How the wanted counts are reached

\`desired_counts\` of a pool says how many instances run, how many are warm (paused, their memory kept) and how many
sleep (their memory on disk). The running count comes first: nothing is paused, booted to spare or discarded while a
running one is missing.

- **More are to run**: wake what sleeps, resume what is warm, start what is stopped, create, in this order; those that are
  beyond their own count come first, and of the sleeping the one that fell asleep last. What was taken from the warm and
  the sleeping is then made up for.
- **More are to be warm or asleep**: one that runs beyond the running count is paused or put to sleep; where there is none,
  one more is booted for it. That needs room in \`max_running\`, \`max_vcpus\` and \`max_mem_mib\` for a moment, even for one
  that will sleep; warm ones count in all three, and in \`max_warm\`. A guest is paused or put to sleep only once it has
  booted (its agent is there, or \`--boot-grace\` has passed) and has run \`min_running_seconds\`; its drain may take
  \`drain_timeout_seconds\`.
- **Fewer are wanted**: what one state has too much, another may lack: a warm one goes to sleep, a sleeping one is woken to
  become warm. The rest is stopped: of the running the one that was started last, after \`min_running_seconds\`; of the
  warm the one that is so the longest, after \`min_warm_seconds\`; of the sleeping the one with the oldest snapshot, which is
  discarded.
- **By hand**: an instance that was stopped, warmed or put to sleep by hand is left alone until its hold ends, and its slot
  is kept. Doing it to one that is so already begins its hold anew: so one that crashes again and again is kept down.
  A sleeping one whose hold has ended is woken, or counts as one that sleeps, before another is started.
- **Another image**: when a pool's image is registered anew (\`mvm image add\` under the same name), the next start boots the
  new one. What runs, is warm or sleeps keeps the image that it was started with. Warm and sleeping ones of another image
  than the pool's are reported (\`outdated\`), used last and let go first; \`mvm instance stop --hold 1s\` has one replaced,
  a running one too.
- **A snapshot that cannot be used**: the instance stays asleep and is reported (\`failed\`), and others take its place. It
  is tried again before a new instance is created, by \`mvm instance wake\` at any time, and never discarded by agentd.
- **Pinned and critical pools**: nothing is stopped, whichever state it is in; their counts are reached as far as that goes.

Everything that has to wait is in \`mvm status\`, with the reason and until when: \`instance.booting\`,
\`instance.min_running\`, \`instance.min_warm\`, \`instance.busy\`, \`quota.*\`, or what failed and is tried again.
\`mvm apply --wait\` waits for all three counts.
`;
}
