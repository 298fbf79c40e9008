import { createHash } from 'node:crypto';
import { CodedError } from '@mvm/protocol';
import { z } from 'zod';

const partSchema = z.strictObject({
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
  size: z.int().min(1),
});

/** Content of one file of an image: lower-case hex sha256 and size in bytes. */
export type ManifestPart = z.infer<typeof partSchema>;

/** Longest kernel command line that an image may ask for; hostd appends its own arguments. */
const MAX_KERNEL_ARGS_LENGTH = 1024;

const kernelArgsSchema = z
  .string()
  .max(MAX_KERNEL_ARGS_LENGTH)
  .regex(/^[\x20-\x7e]*$/);

const texts = z.array(z.string());

/** Which OCI image an imported image is, and how it runs. Digests as `sha256:<hex>`. */
const originSchema = z.strictObject({
  manifest_digest: z.string(),
  config_digest: z.string(),
  /** Stands for everything that decides the files: the same key gives the same ones. */
  build_key: z.string(),
  kernel: z.strictObject({ name: z.string(), version: z.string(), digest: z.string() }),
  created: z.string().nullable(),
  layers: z.int().min(0),
  /** Files, directories and so on of the root file system. */
  inodes: z.int().min(0),
  args: texts,
  env: texts,
  cwd: z.string(),
  uid: z.int().min(0),
  gid: z.int().min(0),
  groups: z.array(z.int().min(0)),
  stop_signal: z.int().min(1),
  volumes: texts,
  exposed_ports: texts,
  is_init: z.boolean(),
});
export type ImageOrigin = z.infer<typeof originSchema>;

const parts = {
  kernel: partSchema,
  initrd: partSchema.nullable(),
  rootfs: partSchema,
  kernel_args: kernelArgsSchema,
};
const manifestSchema = z.discriminatedUnion('schema_version', [
  z.strictObject({ schema_version: z.literal(1), ...parts }),
  z.strictObject({ schema_version: z.literal(2), ...parts, origin: originSchema }),
]);

/** What an image consists of. Its canonical encoding is what the digest is taken over. */
export type Manifest = z.infer<typeof manifestSchema>;

const nameRecordSchema = z.object({
  name: z.string(),
  digest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
  created_at: z.string(),
  /** Digests that the name had before, newest first: kept, so that what pins one still finds it. */
  previous: z.array(z.string()).default([]),
});

/** Content of `names/<name>.json`. */
export type NameRecord = z.infer<typeof nameRecordSchema>;

/** The only encoding of a manifest: fixed key order, no white space, final newline. */
export function encodeManifest(manifest: Manifest): Buffer {
  const part = (p: ManifestPart) => ({ sha256: p.sha256, size: p.size });
  const ordered = {
    schema_version: manifest.schema_version,
    kernel: part(manifest.kernel),
    initrd: manifest.initrd === null ? null : part(manifest.initrd),
    rootfs: part(manifest.rootfs),
    kernel_args: manifest.kernel_args,
    // The schema's order of keys.
    ...(manifest.schema_version === 2 ? { origin: originSchema.parse(manifest.origin) } : {}),
  };
  return Buffer.from(`${JSON.stringify(ordered)}\n`);
}

/** `sha256:<64 hex>` of an encoded manifest. */
export function manifestDigest(encoded: Uint8Array): string {
  return `sha256:${createHash('sha256').update(encoded).digest('hex')}`;
}

/** Decodes `manifest.json`; undefined when it is not one. */
export function decodeManifest(bytes: Uint8Array): Manifest | undefined {
  return decodeJson(bytes, manifestSchema);
}

/** Decodes `names/<name>.json`; undefined when it is not one. */
export function decodeNameRecord(bytes: Uint8Array): NameRecord | undefined {
  return decodeJson(bytes, nameRecordSchema);
}

/**
 * Kernel arguments: at most 1024 printable ASCII characters.
 * Throws `invalid_argument`, reason `image.invalid_kernel_args`.
 */
export function parseKernelArgs(value: string): string {
  if (kernelArgsSchema.safeParse(value).success) return value;
  throw new CodedError({
    code: 'invalid_argument',
    reason: 'image.invalid_kernel_args',
    message: `the kernel arguments must be at most ${MAX_KERNEL_ARGS_LENGTH} printable ASCII characters`,
    hint: 'leave out line breaks, e.g. --kernel-args "console=ttyS0 quiet"',
  });
}

function decodeJson<T>(bytes: Uint8Array, schema: z.ZodType<T>): T | undefined {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    const result = schema.safeParse(JSON.parse(text));
    return result.success ? result.data : undefined;
  } catch {
    return undefined;
  }
}
