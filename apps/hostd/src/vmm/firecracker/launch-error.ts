import { CodedError } from '@mvm/protocol';

/** The error for a Firecracker that ended, refused, or never answered, before its guest ran. `words` are its own. Pure. */
export function launchError(failure: {
  readonly vmId: string;
  readonly what: string;
  readonly words: string;
  /** What was tried. */
  readonly reason: 'vmm.launch_failed' | 'vmm.restore_failed';
  readonly cause?: unknown;
}): CodedError {
  const { vmId, what, words, cause, reason } = failure;
  const verb = reason === 'vmm.launch_failed' ? 'launch' : 'restore';
  const message = `cannot ${verb} the VM ${vmId}: ${what}${words === '' ? '' : `; it says: ${words}`}`;
  const common = { message, details: { vm_id: vmId }, cause };
  if (/tap.*(resource busy|os error 16)/i.test(message)) {
    return new CodedError({
      code: 'failed_precondition',
      reason: 'net.tap_busy',
      hint: 'Another process still holds the TAP: look for an older VMM of this instance.',
      ...common,
    });
  }
  if (/tap.*(not permitted|os error 1\b)/i.test(message)) {
    return new CodedError({
      code: 'failed_precondition',
      reason: 'net.tap_not_owned',
      hint: 'The TAP belongs to another user: look for what made it (ip -d tuntap), stop the instance, and start it again.',
      ...common,
    });
  }
  if (/no space left|read-only file system|os error (28|30)\b/i.test(message)) {
    return new CodedError({
      code: 'internal',
      reason: 'vmm.jail_failed',
      hint: 'The jail is full or read-only: look at free memory and at the size of the Firecracker program.',
      ...common,
    });
  }
  if (/cannot allocate memory|os error 12\b/i.test(message)) {
    return new CodedError({
      code: 'resource_exhausted',
      reason: 'vmm.out_of_memory',
      hint: 'Free memory on this host, or give the pool less.',
      ...common,
    });
  }
  return new CodedError({
    code: 'internal',
    reason,
    hint: 'Check the image that the pool uses (mvm image list) and what the host lacks (mvm doctor).',
    ...common,
  });
}
