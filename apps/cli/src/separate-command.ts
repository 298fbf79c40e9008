/** Commands whose last arguments are a command of the guest, with the options of theirs that take a value. */
const WITH_COMMAND: Readonly<Record<string, ReadonlySet<string>>> = {
  exec: new Set([
    '-e',
    '--env',
    '-w',
    '--workdir',
    '-u',
    '--user',
    '--detach-keys',
    '-o',
    '--output',
    '--socket',
  ]),
  run: new Set([
    ...['-e', '--env', '-w', '--workdir', '-u', '--user', '--detach-keys', '-o', '--output', '--socket'],
    ...['--tenant', '-p', '--publish', '-m', '--memory', '--cpus', '--name', '--timeout', '--restart'],
  ]),
};

/**
 * The words with `--` in front of the guest's command, so that no option of that command is taken for one of ours:
 * `exec web ls -l` is `exec web -- ls -l`. Pure.
 */
export function separateCommand(argv: readonly string[]): string[] {
  const at = argv.findIndex((word) => !word.startsWith('-'));
  const withValue = Object.hasOwn(WITH_COMMAND, argv[at] ?? '') ? WITH_COMMAND[argv[at] ?? ''] : undefined;
  if (withValue === undefined) return [...argv];
  for (let index = at + 1; index < argv.length; index += 1) {
    const word = argv[index] ?? '';
    if (word === '--') return [...argv];
    if (withValue.has(word)) index += 1;
    else if (!word.startsWith('-'))
      return argv[index + 1] === '--' || index + 1 === argv.length
        ? [...argv]
        : [...argv.slice(0, index + 1), '--', ...argv.slice(index + 1)];
  }
  return [...argv];
}
