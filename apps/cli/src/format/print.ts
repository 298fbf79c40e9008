import type { CliContext } from '../context.js';
import type { Invocation } from '../invocation.js';
import { renderDocument } from './documents.js';
import { renderTemplate, sortItems } from './list-options.js';
import { type Column, renderTable } from './table.js';

export interface ListOutput<T> {
  /** Kind of one item; the document's is `<kind>List`. */
  readonly kind: string;
  readonly items: readonly T[];
  readonly columns: readonly Column<T>[];
  /** What `-o name` prints for an item; fit to be passed to another command. */
  readonly name: (item: T) => string;
  /** Said on stderr, in place of a table, when there are no items. */
  readonly empty: string;
}

/** Prints a listing in the format asked for. */
export async function printList<T extends object>(
  context: CliContext,
  invocation: Invocation,
  { items: unsorted, ...list }: ListOutput<T>,
): Promise<void> {
  const { format } = invocation;
  const sortBy = invocation.text('sortBy');
  const items = sortBy === undefined ? unsorted : sortItems(unsorted, list.columns, sortBy);
  const template = invocation.text('format');
  if (template !== undefined) {
    for (const item of items) context.stdout.write(`${renderTemplate(template, item)}\n`);
    return;
  }
  if (format === 'json' || format === 'yaml') {
    context.stdout.write(await renderDocument(`${list.kind}List`, { items }, format));
  } else if (format === 'name') {
    for (const item of items) context.stdout.write(`${list.name(item)}\n`);
  } else if (items.length === 0) {
    context.say(list.empty);
  } else {
    context.stdout.write(renderTable(items, list.columns, format === 'wide', !invocation.isOff('headers')));
  }
}

export interface ObjectOutput {
  readonly kind: string;
  readonly value: object;
  readonly name: string;
  /** The description for people; control characters must be out of it. */
  readonly text: () => string;
}

/** Prints one object in the format asked for. */
export async function printObject(
  context: CliContext,
  { format }: Invocation,
  object: ObjectOutput,
): Promise<void> {
  if (format === 'json' || format === 'yaml') {
    context.stdout.write(await renderDocument(object.kind, { ...object.value }, format));
  } else if (format === 'name') {
    context.stdout.write(`${object.name}\n`);
  } else {
    context.stdout.write(object.text());
  }
}
