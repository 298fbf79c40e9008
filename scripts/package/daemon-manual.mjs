/**
 * A daemon's manual page in roff, out of its own help.
 * @param {{ name: string, summary: string, version: string, helps: string[], files: Record<string, string> }} facts
 *   `helps`: what `--help` of the program and of its commands prints
 */
export function daemonManual({ name, summary, version, helps, files }) {
  const entries = Object.entries(files).map(
    ([path, meaning]) => `.TP\n\\fB${roff(path)}\\fR\n${roff(meaning)}`,
  );
  return [
    `.TH "${name.toUpperCase()}" 8 "" "mvm ${version}" "System Administration"`,
    `.SH NAME\n${roff(name)} \\- ${roff(summary)}`,
    `.SH SYNOPSIS\n${helps.map((help) => `.nf\n${roff(help.trim())}\n.fi`).join('\n.PP\n')}`,
    `.SH FILES\n${entries.join('\n')}`,
    '.SH SEE ALSO\n\\fBmvm\\fR(1)\n',
  ].join('\n');
}

/** @param {string} text */
function roff(text) {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll("'", '\\(aq')
    .replace(/^\./gm, '\\&.');
}
