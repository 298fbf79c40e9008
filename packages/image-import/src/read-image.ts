import { createHash } from 'node:crypto';
import { open, stat } from 'node:fs/promises';
import type { Compression, LayerFile } from '@mvm/rootfs-builder';
import { type BlobStore, readDescribed, readDocument } from './blobs.js';
import {
  type Descriptor,
  type ImageConfig,
  type Index,
  isIndex,
  parseConfig,
  parseIndex,
  parseManifest,
} from './documents.js';
import { badLayout, sourceNotFound, unsupported } from './errors.js';

/** What Node calls our architecture, in the words of images. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };
const REF_NAME = 'org.opencontainers.image.ref.name';
/** Indexes inside indexes that are followed. */
const MAX_NESTED = 4;

const LAYER_TYPES: Readonly<Record<string, Compression>> = {
  'application/vnd.oci.image.layer.v1.tar': 'none',
  'application/vnd.oci.image.layer.v1.tar+gzip': 'gzip',
  'application/vnd.oci.image.layer.v1.tar+zstd': 'zstd',
  'application/vnd.oci.image.layer.nondistributable.v1.tar': 'none',
  'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip': 'gzip',
  'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd': 'zstd',
  'application/vnd.docker.image.rootfs.diff.tar': 'none',
  'application/vnd.docker.image.rootfs.diff.tar.gzip': 'gzip',
  'application/vnd.docker.image.rootfs.diff.tar.zstd': 'zstd',
};

const GZIP_MAGIC = Buffer.from([0x1f, 0x8b]);

/** An image, read and found consistent; its layers are not read yet. */
export interface OciImage {
  readonly manifestDigest: string;
  readonly configDigest: string;
  readonly config: ImageConfig;
  readonly layers: readonly LayerFile[];
}

export interface ReadImageOptions {
  /** As the caller names it, for messages. */
  readonly source: string;
  /** Name of one image among several. */
  readonly reference?: string | undefined;
}

/**
 * Reads index, manifest and configuration, and chooses the image for this machine's architecture. Throws
 * `image.source_not_found`, `image.bad_layout`, `image.bad_digest`, `image.unsupported`.
 */
export async function readImage(store: BlobStore, options: ReadImageOptions): Promise<OciImage> {
  const top = await readDocument(store.top);
  if (top === undefined) throw sourceNotFound(options.source, 'there is no image');
  const { digest: manifestDigest, bytes } = await chooseManifest(store, top, options);
  const manifest = parseManifest(bytes);
  const config = parseConfig(await readDescribed(store, manifest.config, 'the configuration'));
  if (config.os !== 'linux' || config.architecture !== ownArchitecture()) {
    throw unsupported(`it is for ${config.os}/${config.architecture}`);
  }
  const { diff_ids } = config.rootfs;
  if (diff_ids.length !== manifest.layers.length) {
    throw badLayout(
      `its manifest has ${manifest.layers.length} layers, its configuration ${diff_ids.length}`,
    );
  }
  const layers = await Promise.all(
    manifest.layers.map((layer, index) => layerFile(store, layer, diff_ids[index] ?? '')),
  );
  return { manifestDigest, configDigest: manifest.config.digest, config, layers };
}

export function ownArchitecture(): string {
  return ARCHITECTURES[process.arch] ?? process.arch;
}

/** The manifest of one image among those of an index, for this machine. Throws as {@link readImage}. */
export function chooseFromIndex(
  index: Index,
  options: ReadImageOptions & { readonly isTop: boolean },
): Descriptor {
  const { reference, source, isTop } = options;
  let candidates = index.manifests;
  if (isTop && reference !== undefined) {
    candidates = candidates.filter(({ annotations }) => annotations?.[REF_NAME] === reference);
    if (candidates.length === 0) throw sourceNotFound(source, `no image is named ${reference}`);
  }
  const fitting = candidates.filter(
    ({ platform }) =>
      platform == null || (platform.os === 'linux' && platform.architecture === ownArchitecture()),
  );
  const [first, second] = fitting;
  if (first === undefined) throw unsupported(`there is none for linux/${ownArchitecture()}`);
  if (second !== undefined && second.digest !== first.digest) {
    const names = fitting.map(({ annotations, digest }) => annotations?.[REF_NAME] ?? digest).slice(0, 10);
    throw badLayout(`several images are meant: ${names.join(', ')}`);
  }
  return first;
}

async function chooseManifest(store: BlobStore, top: Buffer, options: ReadImageOptions) {
  let bytes = top;
  let digest = `sha256:${createHash('sha256').update(top).digest('hex')}`;
  for (let depth = 0; isIndex(bytes); depth += 1) {
    if (depth === MAX_NESTED) throw badLayout('its indexes are nested too deeply');
    const chosen = chooseFromIndex(parseIndex(bytes), { ...options, isTop: depth === 0 });
    bytes = await readDescribed(store, chosen, 'the manifest');
    digest = chosen.digest;
  }
  return { digest, bytes };
}

async function layerFile(store: BlobStore, layer: Descriptor, diffId: string): Promise<LayerFile> {
  const compression = LAYER_TYPES[layer.mediaType];
  if (compression === undefined) throw unsupported(`a layer is of type ${layer.mediaType.slice(0, 100)}`);
  const path = store.path(layer.digest);
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile() !== true) throw badLayout(`the layer ${layer.digest} is missing`);
  // skopeo 1.9 calls the plain layers of a docker archive gzip.
  const isPlain = compression === 'gzip' && !(await beginsWith(path, GZIP_MAGIC));
  return {
    path,
    compression: isPlain ? 'none' : compression,
    digest: layer.digest,
    sizeBytes: layer.size,
    diffId,
  };
}

async function beginsWith(path: string, magic: Buffer): Promise<boolean> {
  const file = await open(path, 'r');
  try {
    const head = Buffer.alloc(magic.length);
    await file.read(head, 0, head.length, 0);
    return head.equals(magic);
  } finally {
    await file.close();
  }
}
