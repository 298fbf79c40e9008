/**
 * A TOML file in which every setting of a daemon is commented out with its default, made from the table in its page.
 * Throws when the page has no such table.
 * @param {string} page docs/hostd-config.md or docs/agentd-config.md
 * @param {string} title first line
 */
export function exampleConfig(page, title) {
  const rows = [
    ...page.matchAll(/^\| `--[^|]+\| `MVM_[A-Z_]+` \| `([a-z_]+)` \| ([^|]+) \| ((?:[^|\\]|\\.)+) \|$/gm),
  ];
  if (rows.length === 0) throw new Error('the page has no table of settings');
  const entries = rows.map(([, key = '', initial = '', meaning = '']) => {
    const text = meaning.replaceAll('\\|', '|').replaceAll('`', '');
    return `# ${text}\n# ${key} = ${value(initial.trim())}\n`;
  });
  return `# ${title}\n# Every setting is commented out, and shows its default.\n\n${entries.join('\n')}`;
}

/** @param {string} initial as in the table: `none`, or a value between backticks */
function value(initial) {
  if (initial === 'none') return '...';
  const text = initial.replaceAll('`', '');
  return /^(\d+|true|false)$/.test(text) ? text : JSON.stringify(text);
}
