import { createHash } from 'node:crypto';
import type { DesiredState } from '@mvm/protocol/state';

function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, item]) => [key, canonical(item)]));
}

/** The first 12 hex digits of the sha256 of a desired state's canonical JSON: the same content, the same revision. */
export function revisionOf(desired: DesiredState): string {
  return createHash('sha256')
    .update(JSON.stringify(canonical(desired)))
    .digest('hex')
    .slice(0, 12);
}
