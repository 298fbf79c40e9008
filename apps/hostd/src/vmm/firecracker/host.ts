import { readFile } from 'node:fs/promises';
import { release } from 'node:os';
import { CodedError } from '@mvm/protocol';

/** What of a host a saved Firecracker VM can be restored on. Source: docs/snapshotting/versioning.md of Firecracker. */
export interface SnapshotHost {
  /** Vendor, family, model and stepping. */
  readonly cpu: string;
  /** Major and minor version of the host's kernel. */
  readonly kernel: string;
  /** Of the program. */
  readonly firecracker: string;
}

/** This host, with a program of this sum. */
export async function readSnapshotHost(sha256: string): Promise<SnapshotHost> {
  const cpuInfo = await readFile('/proc/cpuinfo', 'utf8');
  return { cpu: cpuOf(cpuInfo), kernel: release().split('.', 2).join('.'), firecracker: sha256 };
}

/** The first processor in the text of /proc/cpuinfo, told by its numbers. Pure. */
export function cpuOf(cpuInfo: string): string {
  const names = [
    'vendor_id',
    'cpu family',
    'model',
    'stepping',
    'CPU implementer',
    'CPU part',
    'CPU revision',
  ];
  const values = names.map((name) => new RegExp(`^${name}\\s*:\\s*(.*)$`, 'm').exec(cpuInfo)?.[1]);
  return values.filter((value) => value !== undefined).join('/');
}

/**
 * Null when a VM that was saved on `saved` can be restored on `here`, else `failed_precondition`, `snapshot.other_host`.
 * Pure.
 */
export function hostMismatch(saved: unknown, here: SnapshotHost): CodedError | null {
  const before = (typeof saved === 'object' && saved !== null ? saved : {}) as Partial<SnapshotHost>;
  const name = (['cpu', 'kernel', 'firecracker'] as const).find((key) => before[key] !== here[key]);
  if (name === undefined) return null;
  const what = { cpu: 'processor', kernel: 'kernel', firecracker: 'Firecracker program' }[name];
  return new CodedError({
    code: 'failed_precondition',
    reason: 'snapshot.other_host',
    message: `the snapshot was made with another ${what}: ${before[name] ?? 'unknown'}, and this host has ${here[name]}`,
    hint: 'Boot the kernel, or install the program, that the host had; or stop the instance (its memory is lost, its data volume kept) and start it.',
    details: { differs: name },
  });
}
