import { expect, test } from 'vitest';
import { commonLines, diffLines, isLitter, linesOf } from './host-view.js';

test.each([
  'tenants/a/pools/p/instances/i/op.json',
  'tenants/a/pools/p/instances/i/snapshots/delta',
  'tenants/a/pools/p/instances/i/snapshots/delta.tmp/memory',
  'tenants/a/pools/p/instances/i/.instance.json.tmp-12-3',
  'tenants/a/pools/p/instances/i/volumes/.config.ext4.tmp-x/tree',
  'tenants/a/pools/p/instances/.trash-i',
  'tenants/a/pools/p/artifacts/current.next',
])('%s is worth a look', (path) => {
  expect(isLitter(path)).toBe(true);
});

test.each([
  'tenants/a/tenant.json',
  'tenants/a/pools/p/instances/i/instance.json',
  'tenants/a/pools/p/instances/i/runtime/console.log.512',
  'tenants/a/pools/p/instances/i/volumes/data.ext4',
  'tenants/a/audit.log',
])('%s belongs there', (path) => {
  expect(isLitter(path)).toBe(false);
});

const naming = {
  names: [
    ['tn3i4', '<tap>'],
    ['10.240.3.4', '<ip>'],
  ],
  also: [['br-tenant-3', '<bridge>']],
} as const;

test('the lines of an object are those with its names, which are replaced', () => {
  const view = [
    'link br-tenant-3 up',
    'link tn3i4 on br-tenant-3 up',
    'link tn3i42 on br-tenant-3 up',
    'nft element 10.240.3.4',
    'nft element 10.240.3.40',
  ];
  expect(linesOf(view, naming)).toEqual(['link <tap> on <bridge> up', 'nft element <ip>']);
  expect(commonLines(view, [naming])).toEqual([
    'link br-tenant-3 up',
    'link tn3i42 on br-tenant-3 up',
    'nft element 10.240.3.40',
  ]);
});

test('a difference tells what is too much and what is missing, and counts', () => {
  expect(diffLines(['a', 'b', 'b'], ['b', 'c'])).toEqual(['- a', '- b', '+ c']);
  expect(diffLines(['a'], ['a'])).toEqual([]);
});
