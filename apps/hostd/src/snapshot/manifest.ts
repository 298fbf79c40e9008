import { z } from 'zod';
import type { LaunchArgs } from '../lifecycle/steps.js';
import { imageChecksumSchema } from './checksum.js';

/** What hostd wrote at first held the sha256 alone. */
function withChecksum(memory: unknown): unknown {
  if (typeof memory !== 'object' || memory === null || !('sha256' in memory)) return memory;
  const { sha256, ...rest } = memory;
  return { ...rest, checksum: { algorithm: 'sha256', value: sha256 } };
}

/** `meta.json` of a snapshot: all that wake must find unchanged before it launches anything. */
export const snapshotManifestSchema = z.object({
  format: z.literal(1),
  tenant_id: z.string(),
  pool_id: z.string(),
  instance_id: z.string(),
  created_at: z.string(),
  vmm: z.enum(['qemu', 'firecracker']),
  /** A snapshot is loaded by the very version that wrote it, or not at all. */
  vmm_version: z.string(),
  accelerator: z.enum(['kvm', 'tcg']),
  image_digest: z.string().nullable(),
  /** The VMM's exact argument vector: an extra or missing device is accepted silently and breaks the guest later. */
  argv: z.array(z.string()),
  /** How it was launched, for the plan that restores it: hostd's own `LaunchArgs`, in a directory that only root reads. */
  launch: z.custom<LaunchArgs>((value) => typeof value === 'object' && value !== null),
  memory: z.preprocess(
    withChecksum,
    z.object({
      file: z.literal('memory'),
      compression: z.enum(['none', 'lz4', 'zstd']),
      sealed: z.boolean(),
      /** Bytes of the VMM's stream. */
      plain_bytes: z.int().min(1),
      stored_bytes: z.int().min(1),
      /** Of the stored file. */
      checksum: imageChecksumSchema,
    }),
  ),
  /** Writable disks: the snapshot belongs to exactly this content. */
  disks: z.array(
    z.object({
      id: z.string(),
      path: z.string(),
      size_bytes: z.int().min(0),
      /** Nanoseconds since the epoch, as decimal text. */
      mtime_ns: z.string(),
    }),
  ),
});
export type SnapshotManifest = z.infer<typeof snapshotManifestSchema>;
