import { onOneLine } from './control-characters.js';

/** One column of a table of `T`. */
export interface Column<T> {
  readonly header: string;
  /** Plain text; control characters are taken out before it is shown. */
  readonly cell: (item: T) => string;
  /** Colour of the cell, applied after padding; has no influence on the layout. */
  readonly style?: ((text: string, item: T) => string) | undefined;
  readonly align?: 'left' | 'right' | undefined;
  /** Shown with `-o wide` only. */
  readonly wide?: boolean | undefined;
}

const GAP = '   ';

/**
 * A table without borders: upper-case headers, columns as wide as their widest cell, three blanks between them, no
 * blanks at a line's end. Ends with a line feed. Empty cells show as `-`. Without headers the columns are as wide as with them.
 */
export function renderTable<T>(
  items: readonly T[],
  columns: readonly Column<T>[],
  wide: boolean,
  headers = true,
): string {
  const shown = columns.filter((column) => wide || !column.wide);
  const rows = items.map((item) => shown.map((column) => onOneLine(column.cell(item)) || '-'));
  const widths = shown.map((column, index) =>
    Math.max(displayWidth(column.header), ...rows.map((row) => displayWidth(row[index] ?? ''))),
  );
  const header = shown.map((column, index) => pad(column.header, widths[index] ?? 0, column.align)).join(GAP);
  const lines = rows.map((row, rowIndex) =>
    shown
      .map((column, index) => {
        const text = row[index] ?? '';
        const isLast = index === shown.length - 1;
        const padded =
          isLast && column.align !== 'right' ? text : pad(text, widths[index] ?? 0, column.align);
        const item = items[rowIndex];
        return column.style === undefined || item === undefined
          ? padded
          : padded.replace(text, () => column.style?.(text, item) ?? text);
      })
      .join(GAP)
      .trimEnd(),
  );
  return `${[...(headers ? [header.trimEnd()] : []), ...lines].join('\n')}\n`;
}

/** `Key:   value` lines with the values aligned; an undefined value leaves its line out. Ends with a line feed. */
export function renderFields(
  fields: readonly (readonly [string, string | undefined])[],
  indent = '',
): string {
  const shown = fields.filter((field): field is readonly [string, string] => field[1] !== undefined);
  const width = Math.max(0, ...shown.map(([key]) => key.length)) + 1;
  return shown
    .map(([key, value]) => `${indent}${`${key}:`.padEnd(width)}  ${value}`.trimEnd())
    .join('\n')
    .concat('\n');
}

/** Columns that a text takes in a terminal, counting East Asian wide characters and emoji as two. */
export function displayWidth(text: string): number {
  let width = 0;
  for (const char of text) {
    if (/\p{Mark}/u.test(char)) continue;
    width +=
      /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/.test(
        char,
      ) || /\p{Emoji_Presentation}/u.test(char)
        ? 2
        : 1;
  }
  return width;
}

function pad(text: string, width: number, align: 'left' | 'right' | undefined): string {
  const blanks = ' '.repeat(Math.max(0, width - displayWidth(text)));
  return align === 'right' ? blanks + text : text + blanks;
}
