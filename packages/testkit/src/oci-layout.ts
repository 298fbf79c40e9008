import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';

/** An image as a test wants it. */
export interface OciImageSpec {
  /** Tar archives, lowest first. */
  readonly layers: readonly Buffer[];
  /** `config` of the image's configuration: Entrypoint, Cmd, User and so on. */
  readonly config?: object;
  readonly compression?: LayerCompression;
  readonly architecture?: string;
  /** `org.opencontainers.image.ref.name`. */
  readonly reference?: string;
}

export interface WrittenImage {
  /** `sha256:<hex>` of the manifest. */
  readonly digest: string;
}

const SUFFIX = { none: '', gzip: '+gzip', zstd: '+zstd', pzstd: '+zstd' };
/** What packs the layers. `pzstd` writes a skippable frame before each frame. */
type LayerCompression = keyof typeof SUFFIX;

/** Writes an OCI image layout with these images into a directory, from nothing. */
export async function writeOciLayout(
  directory: string,
  images: readonly OciImageSpec[],
): Promise<WrittenImage[]> {
  await mkdir(join(directory, 'blobs', 'sha256'), { recursive: true });
  const put = async (data: Buffer): Promise<{ digest: string; size: number }> => {
    const hex = sha256(data);
    await writeFile(join(directory, 'blobs', 'sha256', hex), data);
    return { digest: `sha256:${hex}`, size: data.length };
  };
  const manifests: object[] = [];
  const written: WrittenImage[] = [];
  for (const { layers, config = {}, compression = 'gzip', architecture = 'amd64', reference } of images) {
    const descriptors = await Promise.all(
      layers.map(async (layer) => ({
        mediaType: `application/vnd.oci.image.layer.v1.tar${SUFFIX[compression]}`,
        ...(await put(packed(layer, compression))),
      })),
    );
    const configuration = await put(
      json({
        architecture,
        os: 'linux',
        config,
        rootfs: { type: 'layers', diff_ids: layers.map((layer) => `sha256:${sha256(layer)}`) },
      }),
    );
    const manifest = await put(
      json({
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.manifest.v1+json',
        config: { mediaType: 'application/vnd.oci.image.config.v1+json', ...configuration },
        layers: descriptors,
      }),
    );
    manifests.push({
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
      ...manifest,
      platform: { os: 'linux', architecture },
      ...(reference === undefined ? {} : { annotations: { 'org.opencontainers.image.ref.name': reference } }),
    });
    written.push({ digest: manifest.digest });
  }
  await writeFile(join(directory, 'oci-layout'), json({ imageLayoutVersion: '1.0.0' }));
  await writeFile(join(directory, 'index.json'), json({ schemaVersion: 2, manifests }));
  return written;
}

export function sha256(data: Buffer): string {
  return createHash('sha256').update(data).digest('hex');
}

function json(value: object): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function packed(layer: Buffer, compression: LayerCompression): Buffer {
  if (compression === 'none') return layer;
  if (compression === 'gzip') return gzipSync(layer);
  const { status, stdout } = spawnSync(compression, ['-q', '-c'], { input: layer, maxBuffer: 2 ** 30 });
  if (status !== 0) throw new Error(`${compression} failed`);
  return stdout;
}
