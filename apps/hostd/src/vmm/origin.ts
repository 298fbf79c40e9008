import { CodedError } from '@mvm/protocol';
import type { VmOrigin } from './vmm.js';

/**
 * Null when a VM that was saved with `saved` is one of `host`, which is the same version of the same VMM; else
 * `failed_precondition`, `snapshot.other_version`. Pure.
 */
export function originMismatch(saved: VmOrigin, host: VmOrigin): CodedError | null {
  if (saved.vmm === host.vmm && saved.vmmVersion === host.vmmVersion) return null;
  return new CodedError({
    code: 'failed_precondition',
    reason: 'snapshot.other_version',
    message: `the snapshot is of ${saved.vmm} ${saved.vmmVersion}, and this host has ${host.vmm} ${host.vmmVersion}`,
    hint: 'Install that version again, or stop the instance (its memory is lost, its data volume kept) and start it.',
    details: { snapshot: saved.vmmVersion, host: host.vmmVersion },
  });
}
