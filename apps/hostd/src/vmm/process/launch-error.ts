import { CodedError, type CodedErrorInit } from '@mvm/protocol';

/** Causes that an operator can end, by what VMMs of ours write of them. */
const CAUSES: readonly (Pick<CodedErrorInit, 'code' | 'reason' | 'hint'> & { readonly pattern: RegExp })[] = [
  {
    pattern: /(\/dev\/net\/tun|tap).*(resource busy|EBUSY|os error 16)/i,
    code: 'failed_precondition',
    reason: 'net.tap_busy',
    hint: 'Another process still holds the TAP: look for an older VMM of this instance.',
  },
  {
    // The VMM's words, or ours of a lock that it does not have: its log may be on a full disk.
    pattern: /failed to (get .* lock|lock byte)/i,
    code: 'failed_precondition',
    reason: 'disk.in_use',
    hint: 'Another process still has the disk: look for an older VMM of this instance.',
  },
  {
    pattern: /tap.*(not permitted|os error 1\b)/i,
    code: 'failed_precondition',
    reason: 'net.tap_not_owned',
    hint: 'The TAP belongs to another user: look for what made it (ip -d tuntap), stop the instance, and start it again.',
  },
  {
    // What the jailer or Firecracker says in its jail.
    pattern: /(no space left on device|read-only file system) \(?os error/i,
    code: 'internal',
    reason: 'vmm.jail_failed',
    hint: 'The jail is full or read-only: look at free memory and at the size of the Firecracker program.',
  },
  {
    pattern: /cannot allocate memory|cannot set up guest memory|os error 12\b/i,
    code: 'resource_exhausted',
    reason: 'vmm.out_of_memory',
    hint: 'Free memory on this host, or give the pool less.',
  },
];

/** The error for a VMM that ended, refused, or never answered, before its guest ran. Pure. */
export function launchError(failure: {
  readonly vmId: string;
  readonly what: string;
  /** What the VMM wrote itself. */
  readonly words?: string;
  /** What was tried; a launch by default. */
  readonly reason?: 'vmm.launch_failed' | 'vmm.restore_failed';
  readonly cause?: unknown;
}): CodedError {
  const { vmId, what, words = '', reason = 'vmm.launch_failed', cause } = failure;
  const verb = reason === 'vmm.launch_failed' ? 'launch' : 'restore';
  const message = `cannot ${verb} the VM ${vmId}: ${what}${words === '' ? '' : `; it says: ${words}`}`;
  const known = CAUSES.find(({ pattern }) => pattern.test(message));
  return new CodedError({
    code: known?.code ?? 'internal',
    reason: known?.reason ?? reason,
    message,
    hint:
      known?.hint ??
      'Check the image that the pool uses (mvm image list) and what the host lacks (mvm doctor).',
    details: { vm_id: vmId },
    cause,
  });
}
