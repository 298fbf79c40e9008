import { type Command, InvalidArgumentError, Option } from 'commander';
import { usageError } from '../errors/usage-error.js';
import { onOneLine } from './control-characters.js';
import type { Column } from './table.js';

/** The options of a command that lists. */
export function addListOptions(command: Command): void {
  command
    .option('--no-headers', 'leave the headers of the table out')
    .option(
      '--sort-by <column>',
      'sort by a column of the table, or by a field of -o json such as .net.guest_ip',
    )
    .addOption(
      new Option(
        '--format <template>',
        'print a line per item, with fields of -o json: {{.net.guest_ip}}',
      ).argParser(parseTemplate),
    );
}

const PLACE = /\{\{\s*(\.[\w.]*)\s*\}\}/g;

function parseTemplate(text: string): string {
  if (/\{\{/.test(text.replace(PLACE, ''))) {
    throw new InvalidArgumentError('Write a field as {{.name}} or {{.name.name}}; {{.}} is the whole item.');
  }
  return text.replaceAll('\\t', '\t').replaceAll('\\n', '\n');
}

/** A template with its places filled: text as it is, other values as JSON, nothing where there is no such field. Pure. */
export function renderTemplate(template: string, item: object): string {
  return template.replace(PLACE, (_, path: string) => textOf(fieldOf(item, path)));
}

function textOf(value: unknown): string {
  if (value === undefined || value === null) return '';
  return onOneLine(typeof value === 'string' ? value : JSON.stringify(value));
}

/**
 * The items by a column of the table or a field, numbers by size and text by the locale, equal ones in their order. Throws
 * usage `invalid_argument` when there is no such column. Pure.
 */
export function sortItems<T extends object>(
  items: readonly T[],
  columns: readonly Column<T>[],
  by: string,
): readonly T[] {
  const column = columns.find(({ header }) => header.toLowerCase() === by.toLowerCase());
  if (column === undefined && !by.startsWith('.')) {
    const names = columns.map(({ header }) => header.toLowerCase()).join(', ');
    throw usageError(
      `there is no column ${JSON.stringify(by)}`,
      `sort by one of ${names}, or by a field: .name`,
    );
  }
  const keyOf = (item: T): unknown => (column === undefined ? fieldOf(item, by) : column.cell(item));
  return items.toSorted((a, b) => compare(keyOf(a), keyOf(b)));
}

function compare(a: unknown, b: unknown): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return textOf(a).localeCompare(textOf(b), 'en', { numeric: true });
}

function fieldOf(item: object, path: string): unknown {
  const names = path.split('.').filter((name) => name !== '');
  let value: unknown = item;
  for (const name of names) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined;
    value = (value as Record<string, unknown>)[name];
  }
  return value;
}
