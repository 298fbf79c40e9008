import { CodedError } from '@mvm/protocol';
import { closeRange, lastErrorName } from '../../system/libc.js';

const CLOSE_RANGE_CLOEXEC = 4;
const FIRST_OURS = 3;
const LAST = 0xffff_ffff;

/**
 * Sees to it that no process which is started from now on inherits a descriptor of ours but its three standard ones.
 * Node.js opens its own that way; those that we were started with (a supervisor's, a shell's) it passes on when their
 * numbers are high. Throws `internal`, reason `vmm.descriptors_inherited`. Source: close_range(2), Linux 5.11.
 */
export function keepDescriptors(): void {
  if (closeRange(FIRST_OURS, LAST, CLOSE_RANGE_CLOEXEC) === 0) return;
  throw new CodedError({
    code: 'internal',
    reason: 'vmm.descriptors_inherited',
    message: `cannot keep our descriptors from a VMM: close_range fails with ${lastErrorName()}`,
    hint: 'hostd needs Linux 5.11 or later.',
  });
}
