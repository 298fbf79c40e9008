import { expect, test } from 'vitest';
import { createAccessPolicy } from './access-policy.js';

const group = { gid: 990, uids: new Set([1001]) };
const policy = createAccessPolicy({ allowUids: [1000], groupName: 'mvm', group: () => group });
const peer = (uid: number, gid: number): { pid: number; uid: number; gid: number } => ({ pid: 1, uid, gid });

test.each([
  ['root', peer(0, 0)],
  ['an allowed user', peer(1000, 1000)],
  ['a member of the group', peer(1001, 1001)],
  ['whoever has the group as effective group', peer(1002, 990)],
])('%s may connect', (_who, caller) => {
  expect(policy.check(caller)).toBeUndefined();
});

test.each([peer(1002, 1002), peer(65_534, 65_534), peer(990, 1000), peer(1, 0)])('%j may not', (caller) => {
  expect(() => policy.check(caller)).toThrow(
    expect.objectContaining({ code: 'permission_denied', reason: 'peer.not_allowed' }),
  );
});

test('a group that does not exist, or cannot be read, admits no group member', () => {
  const unreadable = (): never => {
    throw new Error('EIO');
  };
  for (const lookup of [() => null, unreadable]) {
    const strict = createAccessPolicy({ allowUids: [], groupName: 'mvm', group: lookup });
    expect(() => strict.check(peer(1001, 990))).toThrow(
      expect.objectContaining({ reason: 'peer.not_allowed' }),
    );
    expect(strict.check(peer(0, 0))).toBeUndefined();
  }
});
