import { z } from 'zod';
import { badLayout } from './errors.js';

/** Largest index, manifest and configuration that are read. */
export const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024;

const digestSchema = z.string().regex(/^(sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/);

const descriptorSchema = z.object({
  mediaType: z.string(),
  digest: digestSchema,
  size: z.int().min(0),
  annotations: z.record(z.string(), z.string()).nullish(),
  platform: z.object({ architecture: z.string(), os: z.string(), variant: z.string().nullish() }).nullish(),
});
/** Source: OCI image specification, descriptor.md; docker's registry manifests have the same fields. */
export type Descriptor = z.infer<typeof descriptorSchema>;

const indexSchema = z.object({ schemaVersion: z.literal(2), manifests: z.array(descriptorSchema).max(1000) });
export type Index = z.infer<typeof indexSchema>;

const manifestSchema = z.object({
  schemaVersion: z.literal(2),
  mediaType: z.string().nullish(),
  config: descriptorSchema,
  layers: z.array(descriptorSchema),
});
export type ImageManifest = z.infer<typeof manifestSchema>;

const strings = z.array(z.string()).nullish();
const emptyObjects = z.record(z.string(), z.unknown()).nullish();

const configSchema = z.object({
  architecture: z.string(),
  os: z.string(),
  created: z.string().nullish(),
  config: z
    .object({
      User: z.string().nullish(),
      ExposedPorts: emptyObjects,
      Env: strings,
      Entrypoint: strings,
      Cmd: strings,
      Volumes: emptyObjects,
      WorkingDir: z.string().nullish(),
      StopSignal: z.string().nullish(),
      /** Docker's; times in nanoseconds. 0 or absent: the default. */
      Healthcheck: z
        .object({
          Test: strings,
          Interval: z.number().min(0).nullish(),
          Timeout: z.number().min(0).nullish(),
          StartPeriod: z.number().min(0).nullish(),
          Retries: z.int().min(0).nullish(),
        })
        .nullish(),
      Labels: z.record(z.string(), z.string()).nullish(),
    })
    .nullish(),
  rootfs: z.object({ type: z.literal('layers'), diff_ids: z.array(digestSchema) }),
});
/** Source: OCI image specification, config.md. */
export type ImageConfig = z.infer<typeof configSchema>;

export const parseIndex = (bytes: Buffer): Index => parse(bytes, indexSchema, 'its index');
export const parseManifest = (bytes: Buffer): ImageManifest => parse(bytes, manifestSchema, 'its manifest');
export const parseConfig = (bytes: Buffer): ImageConfig => parse(bytes, configSchema, 'its configuration');

/** Whether a document lists images instead of being one. */
export function isIndex(bytes: Buffer): boolean {
  try {
    return Array.isArray((JSON.parse(bytes.toString('utf8')) as { manifests?: unknown }).manifests);
  } catch {
    return false;
  }
}

function parse<T>(bytes: Buffer, schema: z.ZodType<T>, what: string): T {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw badLayout(`${what} is not JSON`);
  }
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw badLayout(`${what} is malformed at ${issue?.path.join('.') || 'its top'}: ${issue?.message ?? ''}`);
}
