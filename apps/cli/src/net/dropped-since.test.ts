import type { NetworkDrops } from '@mvm/protocol';
import { expect, it } from 'vitest';
import { droppedSince } from './dropped-since.js';

function drops(counts: Record<string, number>): NetworkDrops {
  return {
    at: '2026-11-23T10:00:00.000Z',
    counters: Object.entries(counts).map(([name, packets]) => ({
      name,
      table: 'inet mvm',
      meaning: 'm',
      advice: 'a',
      packets,
      bytes: packets * 60,
    })),
  };
}

it.each([
  ['nothing moved', { a: 1, b: 2 }, { a: 1, b: 2 }, []],
  ['one moved', { a: 1, b: 2 }, { a: 1, b: 5 }, [['b', 3, 180]]],
  ['the tables were loaded anew', { a: 100 }, { a: 2 }, [['a', 2, 120]]],
  ['a counter is new', {}, { a: 4 }, [['a', 4, 240]]],
  ['the tables are gone', { a: 3 }, {}, []],
])('%s', (_what, before, now, expected) => {
  const moved = droppedSince(drops(before as Record<string, number>), drops(now as Record<string, number>));
  expect(moved.map(({ counter, packets, bytes }) => [counter.name, packets, bytes])).toEqual(expected);
});
