/**
 * What is wrong with one changeset, one line per fault; empty when nothing is. An empty front matter is a change
 * without effect on users, and right.
 * @param {string} text of the file
 * @param {ReadonlySet<string>} packages names that a changeset may have
 * @returns {string[]}
 */
export function changesetFaults(text, packages) {
  const parts = /^---\n([\s\S]*?)---\n?([\s\S]*)$/.exec(text);
  if (parts === null) return ['has no front matter between two lines of ---'];
  const [, frontMatter = '', summary = ''] = parts;
  const lines = frontMatter.split('\n').filter((line) => line.trim() !== '');
  const faults = lines.flatMap((line) => {
    const entry = /^(['"])([^'"]+)\1: (patch|minor|major)$/.exec(line);
    if (entry === null) return [`${JSON.stringify(line)} is not 'package': patch, minor or major`];
    return packages.has(entry[2] ?? '') ? [] : [`${entry[2]} is not a package that is versioned here`];
  });
  if (lines.length > 0 && summary.trim() === '') faults.push('does not say what changes');
  return faults;
}
