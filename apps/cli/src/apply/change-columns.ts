import { onOneLine } from '../format/control-characters.js';
import type { FieldChange } from './diff-desired.js';

/** Columns of a table of changes. */
export const changeColumns = [
  { header: 'OBJECT', cell: ({ object }: FieldChange) => object },
  { header: 'FIELD', cell: ({ field }: FieldChange) => field },
  { header: 'OLD', cell: ({ from }: FieldChange) => onOneLine(from ?? '') },
  { header: 'NEW', cell: ({ to }: FieldChange) => onOneLine(to ?? '') },
];
