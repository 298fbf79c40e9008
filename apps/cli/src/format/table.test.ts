import { describe, expect, it } from 'vitest';
import { type Column, displayWidth, renderFields, renderTable } from './table.js';

interface Row {
  name: string;
  count: number;
}

const columns: Column<Row>[] = [
  { header: 'NAME', cell: (row) => row.name },
  { header: 'COUNT', cell: (row) => String(row.count), align: 'right' },
  { header: 'NOTE', cell: () => '', wide: true },
];

describe('renderTable', () => {
  it('aligns without borders and leaves no blanks at the end of a line', () => {
    const text = renderTable(
      [
        { name: 'a', count: 1 },
        { name: 'longer-name', count: 100 },
      ],
      columns,
      false,
    );
    expect(text).toBe('NAME          COUNT\na                 1\nlonger-name     100\n');
  });

  it('shows wide columns when asked, and - for nothing', () => {
    expect(renderTable([{ name: 'a', count: 1 }], columns, true)).toBe(
      'NAME   COUNT   NOTE\na          1   -\n',
    );
  });

  it('shows a header for no rows', () => {
    expect(renderTable([], columns, false)).toBe('NAME   COUNT\n');
  });

  it('takes control characters out of cells', () => {
    expect(renderTable([{ name: 'a\x1b[31m\nb', count: 1 }], columns, false)).toContain('a b');
  });

  it('colours a cell without moving its neighbours', () => {
    const coloured = columns.map((column) => ({ ...column, style: (text: string) => `<${text}>` }));
    expect(renderTable([{ name: 'a', count: 1 }], coloured, false)).toBe('NAME   COUNT\n<a>          <1>\n');
  });

  it('counts wide characters as two columns', () => {
    expect(displayWidth('日本')).toBe(4);
    expect(displayWidth('é')).toBe(1);
    expect(displayWidth('e\u0301')).toBe(1);
  });
});

it('renderFields aligns values and leaves out what is undefined', () => {
  const text = renderFields([
    ['Name', 'x'],
    ['Address', '10.0.0.1'],
    ['Gone', undefined],
    ['Empty', ''],
  ]);
  expect(text).toBe('Name:     x\nAddress:  10.0.0.1\nEmpty:\n');
});
