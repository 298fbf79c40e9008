import { type Command, InvalidArgumentError, Option } from 'commander';

function collect(value: string, before: readonly string[] | undefined): string[] {
  if (!/^[^=]+/.test(value)) throw new InvalidArgumentError('Use KEY=value, or KEY for your own value.');
  return [...(before ?? []), value];
}

/** `-e KEY=value`, several times; `-e KEY` takes the caller's own value, as docker's does. */
export function addEnvOption(command: Command): void {
  command.addOption(
    new Option('-e, --env <entry>', 'environment: KEY=value, or KEY with its value here').argParser(collect),
  );
}

/** The entries with values; one that is not set here is left out. */
export function environmentOf(
  entries: readonly string[],
  own: Readonly<Record<string, string | undefined>>,
): string[] {
  return entries.flatMap((entry) => {
    if (entry.includes('=')) return [entry];
    const value = own[entry];
    return value === undefined ? [] : [`${entry}=${value}`];
  });
}
