import type { CliContext } from '../context.js';
import type { Invocation } from '../invocation.js';
import { renderDocument } from './documents.js';
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
  { format }: Invocation,
  list: ListOutput<T>,
): Promise<void> {
  if (format === 'json' || format === 'yaml') {
    context.stdout.write(await renderDocument(`${list.kind}List`, { items: list.items }, format));
  } else if (format === 'name') {
    for (const item of list.items) context.stdout.write(`${list.name(item)}\n`);
  } else if (list.items.length === 0) {
    context.say(list.empty);
  } else {
    context.stdout.write(renderTable(list.items, list.columns, format === 'wide'));
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
