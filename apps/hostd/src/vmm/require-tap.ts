import { readFile } from 'node:fs/promises';
import { CodedError } from '@mvm/protocol';
import type { VmSpec } from './vmm.js';

/** Throws `failed_precondition`, `vmm.tap_missing`, unless a VM's TAP is there. */
export async function requireTap({ vmId, net }: Pick<VmSpec, 'vmId' | 'net'>): Promise<void> {
  // /sys shows the network namespace of whoever mounted it, and /proc/self that of the main thread, which leaves the host's
  // while it starts a VMM. The thread that reads this stays in it.
  const interfaces = await readFile('/proc/thread-self/net/dev', 'utf8');
  const names = interfaces.split('\n').map((line) => line.split(':', 1)[0]?.trim());
  if (names.includes(net.tapName)) return;
  throw new CodedError({
    code: 'failed_precondition',
    reason: 'vmm.tap_missing',
    message: `cannot launch the VM ${vmId}: there is no TAP ${net.tapName}`,
    hint: 'Set the tenant’s network up again, then repeat the request.',
    details: { tap: net.tapName },
  });
}
