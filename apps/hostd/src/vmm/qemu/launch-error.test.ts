import { describe, expect, it } from 'vitest';
import { launchError } from './launch-error.js';

describe('launchError', () => {
  const of = (logTail: string) =>
    launchError({ vmId: 'tn3i5', what: 'QEMU ended with exit code 1', logTail });

  it.each([
    [
      'could not configure /dev/net/tun (tn3i5): Device or resource busy',
      'failed_precondition',
      'net.tap_busy',
    ],
    [
      'Failed to get "write" lock; Is another process using the image [x]?',
      'failed_precondition',
      'disk.in_use',
    ],
    [
      "cannot set up guest memory 'microvm.ram': Cannot allocate memory",
      'resource_exhausted',
      'vmm.out_of_memory',
    ],
    ['linux kernel too old to load a ram disk', 'internal', 'vmm.launch_failed'],
    ['', 'internal', 'vmm.launch_failed'],
  ])('%j is %s %s', (logTail, code, reason) => {
    const error = of(logTail);
    expect(error).toMatchObject({ code, reason, details: { vm_id: 'tn3i5' } });
    expect(error.message).toContain('tn3i5');
    expect(error.message).toContain(logTail);
    expect(error.hint).not.toBe('');
  });
});
