import { expect, test } from 'vitest';
import { diffHost, type HostSnapshot } from './host-snapshot.js';

const empty: HostSnapshot = {
  links: ['lo'],
  namespaces: [],
  nftTables: [],
  ipRules: [],
  sysctls: ['net/ipv4/ip_forward = 0'],
  cgroups: [],
  processes: [],
  mounts: [],
  files: [],
  accounts: [],
};

test('equal snapshots do not differ', () => {
  expect(diffHost(empty, structuredClone(empty))).toEqual([]);
});

test('what was left, what was taken away and what was changed is named', () => {
  const after = { ...empty, links: ['tn3i3'], sysctls: ['net/ipv4/ip_forward = 1'] };
  expect(diffHost(empty, after)).toEqual([
    { kind: 'links', change: 'added', item: 'tn3i3' },
    { kind: 'links', change: 'removed', item: 'lo' },
    { kind: 'sysctls', change: 'added', item: 'net/ipv4/ip_forward = 1' },
    { kind: 'sysctls', change: 'removed', item: 'net/ipv4/ip_forward = 0' },
  ]);
});
