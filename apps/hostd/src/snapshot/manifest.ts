import { z } from 'zod';
import type { LaunchArgs } from '../state/launch.js';
import { ACCELERATORS } from '../vmm/vmm.js';
import { imageChecksumSchema } from './checksum.js';

const decimal = z.string().regex(/^\d{1,20}$/);

const storedPartSchema = z.object({
  /** As the driver calls it; also the file's name. */
  name: z.string().regex(/^[a-z]{1,16}$/),
  compression: z.enum(['none', 'lz4', 'zstd']),
  sealed: z.boolean(),
  /** Bytes of the VMM's. */
  plain_bytes: z.int().min(1),
  stored_bytes: z.int().min(1),
  /** Of the stored file. */
  checksum: imageChecksumSchema,
  /**
   * Of an image, which a VMM maps: its file as it was when it was written. A file that is still the same need not be read
   * before the guest runs.
   */
  image: z.object({ inode: decimal, mtime_ns: decimal, ctime_ns: decimal }).optional(),
});
/** A part of a saved VM as it stands in its file. */
export type StoredPart = z.infer<typeof storedPartSchema>;

/** What hostd wrote at first: one part, `memory`, with a sha256; and QEMU's arguments in place of `driver_state`. */
function fromFirstForms(manifest: unknown): unknown {
  const { argv, ...others } = manifest as { argv?: unknown };
  const { memory, ...rest } = (argv === undefined ? others : { ...others, driver_state: { argv } }) as {
    memory?: { sha256?: unknown };
  };
  if (memory === undefined) return { ...rest };
  const { sha256, ...part } = memory;
  return { ...rest, parts: [{ ...part, name: 'memory', checksum: { algorithm: 'sha256', value: sha256 } }] };
}

/** `meta.json` of a snapshot: all that wake must find unchanged before it launches anything. */
const manifestSchema = z.object({
  format: z.literal(1),
  tenant_id: z.string(),
  pool_id: z.string(),
  instance_id: z.string(),
  created_at: z.string(),
  vmm: z.enum(['qemu', 'firecracker']),
  /** A snapshot is loaded by the very version that wrote it, or not at all. */
  vmm_version: z.string(),
  accelerator: z.enum(ACCELERATORS),
  image_digest: z.string().nullable(),
  /** What the driver restores it with. */
  driver_state: z.record(z.string(), z.unknown()),
  /** How it was launched, for the plan that restores it: hostd's own `LaunchArgs`, in a directory that only root reads. */
  launch: z.custom<LaunchArgs>((value) => typeof value === 'object' && value !== null),
  /** In the order in which the VMM gave them. */
  parts: z.array(storedPartSchema).min(1),
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
export type SnapshotManifest = z.infer<typeof manifestSchema>;

/** A manifest out of a file's text. Throws what `JSON.parse` and zod throw. */
export function parseManifest(text: string): SnapshotManifest {
  return manifestSchema.parse(fromFirstForms(JSON.parse(text)));
}

/** The file's text. Throws what zod throws. */
export function renderManifest(manifest: SnapshotManifest): string {
  return `${JSON.stringify(manifestSchema.parse(manifest), null, 2)}\n`;
}
