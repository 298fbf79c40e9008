import { expect, test } from 'vitest';
import { vmIdInArguments } from './vm-processes.js';

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
