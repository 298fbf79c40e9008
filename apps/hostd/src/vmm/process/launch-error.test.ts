import { describe, expect, it } from 'vitest';
import { launchError } from './launch-error.js';

describe('launchError', () => {
  const of = (words: string) => launchError({ vmId: 'tn3i5', what: 'it ended with exit code 1', words });

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
    [
      'Open tap device failed: Error while creating ifreq structure: Device or resource busy (os error 16)',
      'failed_precondition',
      'net.tap_busy',
    ],
    [
      'Cannot create mmap region: Cannot allocate memory (os error 12)',
      'resource_exhausted',
      'vmm.out_of_memory',
    ],
    [
      'Open tap device failed: Invalid TUN/TAP Backend provided by tn3i5: Operation not permitted (os error 1)',
      'failed_precondition',
      'net.tap_not_owned',
    ],
    [
      'Failed to copy firecracker to the jail: No space left on device (os error 28)',
      'internal',
      'vmm.jail_failed',
    ],
    ['Failed to lock byte 101', 'failed_precondition', 'disk.in_use'],
    ['linux kernel too old to load a ram disk', 'internal', 'vmm.launch_failed'],
    ['', 'internal', 'vmm.launch_failed'],
  ])('%j is %s %s', (words, code, reason) => {
    const error = of(words);
    expect(error).toMatchObject({ code, reason, details: { vm_id: 'tn3i5' } });
    expect(error.message).toContain('tn3i5');
    expect(error.message).toContain(words);
    expect(error.hint).not.toBe('');
  });
});
