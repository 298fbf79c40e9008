import { expect, test } from 'vitest';
import { renderTemplate, sortItems } from './list-options.js';
import { renderTable } from './table.js';

const item = {
  id: 'i-1',
  net: { ip: '10.0.0.3' },
  size: 10,
  tags: ['a'],
  none: null,
  evil: 'a\u001b[31m\nb',
};

test.each([
  ['{{.id}} {{ .net.ip }}', 'i-1 10.0.0.3'],
  ['{{.size}}/{{.tags}}', '10/["a"]'],
  ['<{{.none}}{{.nothing}}{{.id.length}}{{.__proto__}}>', '<>'],
  ['{{.evil}}', 'a b'],
  ['$& $1', '$& $1'],
])('the template %j is %j', (template, text) => {
  expect(renderTemplate(template, item)).toBe(text);
});

const columns = [
  { header: 'ID', cell: ({ id }: { id: string }) => id },
  { header: 'AGE', cell: ({ age }: { age: number }) => `${age}s` },
];
const items = [
  { id: 'b', age: 100 },
  { id: 'a', age: 9 },
];

test.each(['ID', 'id', 'age', '.age', '.id'])('items are sorted by %s, numbers by their size', (by) => {
  expect(sortItems(items, columns, by).map(({ id }) => id)).toEqual(['a', 'b']);
});

test('an unknown column is refused, and the columns are named', () => {
  expect(() => sortItems(items, columns, 'size')).toThrow(
    expect.objectContaining({ code: 'invalid_argument', hint: expect.stringContaining('id, age') }),
  );
});

test('a table without headers has the same columns', () => {
  const whole = renderTable(items, columns, false);
  expect(renderTable(items, columns, false, false)).toBe(whole.slice(whole.indexOf('\n') + 1));
});
