import type { StoredKernel } from '@mvm/guest-boot';

/** A kernel as documents show it. */
export function kernelView({ name, version, digest, addedAt, isDefault }: StoredKernel) {
  return { name, version, digest, added_at: addedAt, default: isDefault };
}
