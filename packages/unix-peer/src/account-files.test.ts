import { expect, test } from 'vitest';
import { findGroup } from './account-files.js';

const groups = 'root:x:0:\nmvm:x:990:alice,bob,ghost\nmvmx:x:991:eve\n';
const passwd = [
  'root:x:0:0:root:/root:/bin/sh',
  'alice:x:1000:1000::/:/bin/sh',
  'bob:x:1001:1001::/:/bin/sh',
  'eve:x:1002:1002::/:/bin/sh',
  'mvm:x:993:990::/:/usr/sbin/nologin',
  '',
].join('\n');

test('members are those that are listed and those whose primary group it is', () => {
  expect(findGroup('mvm', groups, passwd)).toEqual({ gid: 990, uids: new Set([1000, 1001, 993]) });
});

test('a group that does not exist, or whose line is damaged, is none', () => {
  expect(findGroup('nobody', groups, passwd)).toBeNull();
  expect(findGroup('mvm', 'mvm:x:abc:alice', passwd)).toBeNull();
  expect(findGroup('', groups, passwd)).toBeNull();
});
