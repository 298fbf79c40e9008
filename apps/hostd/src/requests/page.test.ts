import { expect, test } from 'vitest';
import { PAGE_BYTES, takePage } from './page.js';

function page(
  ids: string[],
  cursor: string | null,
  limit: number | null,
  size = 1,
): ReturnType<typeof takePage> {
  return takePage(ids, {
    idsOf: (id) => [id],
    view: (id) => ({ id, text: 'x'.repeat(size) }),
    cursor,
    limit,
    parts: 1,
  });
}

test('following the cursors yields every item once, in order', () => {
  const ids = Array.from({ length: 23 }, (_, index) => `t-${String(index).padStart(3, '0')}`);
  const seen: unknown[] = [];
  let cursor: string | null = null;
  do {
    const { items, next } = page(ids, cursor, 5);
    expect(items.length).toBeLessThanOrEqual(5);
    seen.push(...items.map((item) => (item as { id: string }).id));
    cursor = next;
  } while (cursor !== null);
  expect(seen).toEqual(ids);
});

test('a page ends before it gets too large, and never is empty while something is left', () => {
  const { items, next } = page(['a', 'b', 'c'], null, null, PAGE_BYTES / 2);
  expect([items.length, next]).toEqual([1, 'a']);
  const huge = page(['a', 'b'], 'a', null, PAGE_BYTES * 2);
  expect([huge.items.length, huge.next]).toEqual([1, null]);
});

test('a cursor whose item is gone continues after where it stood', () => {
  expect(page(['a', 'c'], 'b', null).items.map((item) => (item as { id: string }).id)).toEqual(['c']);
});

test('a cursor that was never answered is refused', () => {
  for (const cursor of ['a/b', '../x', '']) {
    expect(() => page(['a'], cursor, null)).toThrow(
      expect.objectContaining({ reason: 'page.invalid_cursor' }),
    );
  }
});
