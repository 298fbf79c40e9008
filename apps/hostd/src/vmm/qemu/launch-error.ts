import { CodedError } from '@mvm/protocol';

/** The error for a QEMU that ended, or never answered, before the guest ran. `logTail` are QEMU's own. Pure. */
export function launchError(failure: {
  readonly vmId: string;
  readonly what: string;
  readonly logTail: string;
  readonly cause?: unknown;
}): CodedError {
  const { vmId, what, logTail, cause } = failure;
  const message = `cannot launch the VM ${vmId}: ${what}${logTail === '' ? '' : `; QEMU says: ${logTail}`}`;
  const details = { vm_id: vmId };
  if (/\/dev\/net\/tun.*(resource busy|EBUSY)/i.test(message)) {
    return new CodedError({
      code: 'failed_precondition',
      reason: 'net.tap_busy',
      message,
      hint: 'Another process still holds the TAP: look for an older VMM of this instance.',
      details,
      cause,
    });
  }
  // QEMU's logTail, or ours of a lock that it does not have: its log may be on a full disk.
  if (/failed to (get .* lock|lock byte)/i.test(message)) {
    return new CodedError({
      code: 'failed_precondition',
      reason: 'disk.in_use',
      message,
      hint: 'Another process still has the disk: look for an older VMM of this instance.',
      details,
      cause,
    });
  }
  if (/cannot allocate memory|cannot set up guest memory/i.test(logTail)) {
    return new CodedError({
      code: 'resource_exhausted',
      reason: 'vmm.out_of_memory',
      message,
      hint: 'Free memory on this host, or give the pool less.',
      details,
      cause,
    });
  }
  return new CodedError({
    code: 'internal',
    reason: 'vmm.launch_failed',
    message,
    hint: 'Check the image that the pool uses (mvm image list) and what the host lacks (mvm doctor).',
    details,
    cause,
  });
}

/** The error for a QEMU that is not installed. */
export function missingBinary(binary: string, cause?: unknown): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'vmm.missing',
    message: `${binary} is not installed`,
    hint: 'Install it: apt-get install qemu-system-x86',
    details: { binary },
    cause,
  });
}
