import { expect, test } from 'vitest';
import { soleUid, vmIdInArguments } from './vm-processes.js';

test.each([
  [['qemu-system-x86_64', '-chardev', 'socket,id=qmp0,path=/run/mvm/vm/tn3i5/qmp.sock,server=on'], 'tn3i5'],
  [['firecracker', '--api-sock', '/run/mvm/vm/tn4095i254/api.sock'], 'tn4095i254'],
  [['qemu-system-x86_64', '-chardev', 'socket,path=/run/other/vm/tn3i5/qmp.sock'], null],
  [['qemu-system-x86_64', '-chardev', 'socket,path=/run/mvm/vm/tn03i5/qmp.sock'], null],
  [['qemu-system-x86_64', '/run/mvm/vm/'], null],
  [[], null],
])('the VM of %j is %j', (argv, expected) => {
  expect(vmIdInArguments(argv, '/run/mvm/vm')).toBe(expected);
});

const status = (ids: readonly number[]): string => `Name:\tqemu\nUid:\t${ids.join('\t')}\nGid:\t0\t0\t0\t0\n`;
test.each([
  [[1_900_000_771, 1_900_000_771, 1_900_000_771, 1_900_000_771], 1_900_000_771],
  [[0, 0, 0, 0], 0],
  // A program that is set-user-id root, started by a local user.
  [[1000, 0, 0, 0], null],
])('finding 3: the user of a process with the ids %j is %j', (ids, expected) => {
  expect(soleUid(status(ids))).toBe(expected);
  expect(soleUid('')).toBeNull();
});
