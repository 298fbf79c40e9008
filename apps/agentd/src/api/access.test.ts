import { expect, it } from 'vitest';
import { type AccessOptions, checkAccess, roleOf } from './access.js';

const group = (gid: number, ...uids: number[]) => ({ gid, uids: new Set(uids) });
const options: AccessOptions = {
  operators: () => group(900, 1000),
  viewers: () => group(901, 1001),
  ownUid: 800,
};
const peer = (uid: number, gid = uid) => ({ pid: 1, uid, gid });

it('takes root, agentd itself and members of the operators’ group for operators', () => {
  for (const each of [peer(0), peer(800), peer(1000), peer(1234, 900)])
    expect(roleOf(each, options)).toBe('operator');
});

it('accepts members of the viewers’ group as viewers, and refuses everyone else', () => {
  expect(roleOf(peer(1001), options)).toBe('viewer');
  expect(roleOf(peer(1234, 901), options)).toBe('viewer');
  expect(roleOf(peer(1234), options)).toBe('none');
  const unreadable = () => {
    throw new Error('EACCES');
  };
  expect(roleOf(peer(1000), { ...options, operators: unreadable, viewers: unreadable })).toBe('none');
  expect(roleOf(peer(1000), { ...options, operators: () => null })).toBe('none');
});

it('lets viewers look and change nothing', () => {
  checkAccess('viewer', 'GET', peer(1001));
  checkAccess('operator', 'PUT', peer(1000));
  for (const [role, method] of [
    ['viewer', 'PUT'],
    ['viewer', 'POST'],
    ['viewer', 'DELETE'],
    ['none', 'GET'],
  ] as const) {
    expect(() => checkAccess(role, method, peer(1001))).toThrow(
      expect.objectContaining({ code: 'permission_denied', reason: 'peer.not_allowed' }),
    );
  }
});
