/**
 * INVARIANTS
 * - The store changes at the very end, by `addImage`; a failed or aborted import leaves nothing behind.
 * - Equal image, kernel, first program and options give equal files, and so the same digest.
 */
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  addDistributionKernel,
  BOOT_KERNEL_ARGS,
  findKernel,
  listKernels,
  type RunConfig,
  readInitProgram,
  readStoredModules,
  renderBootInitrd,
  type StoredKernel,
} from '@mvm/guest-boot';
import {
  type AddedImage,
  addImage,
  type ImageOrigin,
  nameBuilt,
  parseImageName,
  withTransferDir,
} from '@mvm/image-store';
import { buildRootfs, DEFAULT_LIMITS, type ImageLimits } from '@mvm/rootfs-builder';
import { type BlobStore, checkDigest } from './blobs.js';
import { isIndex, parseIndex } from './documents.js';
import { checkSource, fetchSource, inspectRegistry, type RegistryOptions } from './fetch-source.js';
import { chooseFromIndex, type OciImage, readImage } from './read-image.js';
import { runOfImage } from './run-of-image.js';
import { defaultName, type ImageSource, parseSource } from './source.js';

/** Raised when the same inputs would give other files. */
const RECIPE = 1;

export interface ImportRequest {
  /** e.g. `oci:./app`, `docker://registry.example/app:1`. */
  readonly source: string;
  /** Default: from the source. */
  readonly name?: string | undefined;
  /** Name of a kernel; default: the host's default one, fetched from the distribution when there is none. */
  readonly kernel?: string | undefined;
  /** Addresses of name servers. */
  readonly dns?: readonly string[] | undefined;
  /** Bytes that the image's content may have. */
  readonly maxBytes?: number | undefined;
  readonly registry?: RegistryOptions | undefined;
}

export interface ImportProgress {
  readonly phase: 'kernel' | 'fetch' | 'build' | 'store';
  readonly doneBytes: number;
  /** 0: unknown. */
  readonly totalBytes: number;
  readonly layer: number;
  readonly layers: number;
}

export interface ImportOptions {
  readonly onProgress?: ((progress: ImportProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ImportedImage extends AddedImage {
  readonly manifestDigest: string;
  /** Extended attributes that no Linux file system could keep. */
  readonly droppedXattrs: readonly string[];
}

/** Directories of a host's state. */
export interface ImportDirs {
  readonly images: string;
  readonly kernels: string;
}

/**
 * Imports an image: fetches it, builds its root file system and initrd, and registers it under a name. Repeating it
 * finds the earlier result. Errors: those of reading a source (`image.invalid_source`, `image.source_not_found`,
 * `image.bad_layout`, `image.bad_digest`, `image.unsupported`, `image.transfer_failed`, `image.tool_missing`), of the
 * configuration (`image.bad_config`), of building (`image.bad_layer`, `image.limit_exceeded`, `image.builder_failed`),
 * of kernels (`kernel.not_found`, `kernel.unusable`), and those of `addImage`.
 */
export async function importImage(
  dirs: ImportDirs,
  request: ImportRequest,
  options: ImportOptions = {},
): Promise<ImportedImage> {
  const source = parseSource(request.source);
  const name = parseImageName(request.name ?? defaultName(source));
  await checkSource(source);
  const kernel = await chooseKernel(dirs.kernels, request.kernel, options);
  const init = await readInitProgram();
  const keyOf = (manifestDigest: string): string =>
    buildKey({ manifestDigest, kernel, init, dns: request.dns ?? [] });
  const known = source.transport === 'docker' ? await currentDigest(source, request, options) : undefined;
  if (known !== undefined) {
    const found = await nameBuilt(dirs.images, name, keyOf(known));
    if (found !== undefined) return { ...found, manifestDigest: known, droppedXattrs: [] };
  }
  const limits = { ...DEFAULT_LIMITS, maxBytes: request.maxBytes ?? DEFAULT_LIMITS.maxBytes };
  return withTransferDir(dirs.images, async (dir) => {
    const staging = join(dir, 'source');
    await mkdir(staging);
    const store = await fetchSource(pinned(source, known), {
      ...request.registry,
      stagingDir: staging,
      maxBytes: limits.maxBytes,
      signal: options.signal,
      onProgress: (doneBytes) => report(options, { phase: 'fetch', doneBytes }),
    });
    const image = await readImage(store, { source: request.source, reference: referenceOf(source) });
    if (known !== undefined) await checkFetched(store, known);
    const key = keyOf(image.manifestDigest);
    const found = await nameBuilt(dirs.images, name, key);
    if (found !== undefined) return { ...found, manifestDigest: image.manifestDigest, droppedXattrs: [] };
    return build({ dirs, dir, name, request, image, kernel, init, key, limits }, options);
  });
}

interface BuildInput {
  readonly dirs: ImportDirs;
  /** Scratch directory inside the store. */
  readonly dir: string;
  readonly name: string;
  readonly request: ImportRequest;
  readonly image: OciImage;
  readonly kernel: StoredKernel;
  readonly init: Buffer;
  readonly key: string;
  readonly limits: ImageLimits;
}

async function build(input: BuildInput, options: ImportOptions): Promise<ImportedImage> {
  const { dirs, dir, name, request, image, kernel, init, key, limits } = input;
  const rootfs = join(dir, 'rootfs');
  const built = await buildRootfs({
    layers: image.layers,
    outputPath: rootfs,
    uuid: image.manifestDigest.split(':')[1]?.slice(0, 32) ?? '',
    limits,
    signal: options.signal,
    onProgress: ({ layer, layers, doneBytes, totalBytes }) =>
      report(options, { phase: 'build', layer, layers, doneBytes, totalBytes }),
  });
  const run = runOfImage(image.config, { files: built, dns: request.dns ?? [] });
  const initrd = join(dir, 'initrd');
  await writeFile(initrd, renderBootInitrd(init, await readStoredModules(kernel), run));
  const added = await addImage(
    dirs.images,
    {
      name,
      kernel: kernel.vmlinuxPath,
      initrd,
      rootfs,
      kernelArgs: BOOT_KERNEL_ARGS,
      link: true,
      origin: originOf({ image, kernel, key, run, inodes: built.inodes }),
    },
    {
      signal: options.signal,
      onProgress: ({ copiedBytes, totalBytes }) =>
        report(options, { phase: 'store', doneBytes: copiedBytes, totalBytes }),
    },
  );
  return { ...added, manifestDigest: image.manifestDigest, droppedXattrs: built.droppedXattrs };
}

function report(
  options: ImportOptions,
  progress: Partial<ImportProgress> & Pick<ImportProgress, 'phase'>,
): void {
  options.onProgress?.({ doneBytes: 0, totalBytes: 0, layer: 0, layers: 0, ...progress });
}

async function chooseKernel(
  root: string,
  name: string | undefined,
  options: ImportOptions,
): Promise<StoredKernel> {
  if (name === undefined && (await listKernels(root)).length === 0) {
    await addDistributionKernel(root, () => report(options, { phase: 'kernel' }));
  }
  return findKernel(root, name);
}

interface KeyInput {
  readonly manifestDigest: string;
  readonly kernel: StoredKernel;
  readonly init: Buffer;
  readonly dns: readonly string[];
}

function buildKey({ manifestDigest, kernel, init, dns }: KeyInput): string {
  const initDigest = createHash('sha256').update(init).digest('hex');
  const key = JSON.stringify([RECIPE, manifestDigest, kernel.digest, initDigest, BOOT_KERNEL_ARGS, dns]);
  return `sha256:${createHash('sha256').update(key).digest('hex')}`;
}

/** The digest of the image that a registry's tag means for this machine, without fetching it. */
async function currentDigest(
  source: Extract<ImageSource, { transport: 'docker' }>,
  request: ImportRequest,
  options: ImportOptions,
): Promise<string> {
  const top = await inspectRegistry(source, { ...request.registry, signal: options.signal });
  if (!isIndex(top)) return `sha256:${createHash('sha256').update(top).digest('hex')}`;
  return chooseFromIndex(parseIndex(top), { source: request.source, isTop: true }).digest;
}

/** The same image, named by its digest: a tag may move meanwhile. */
function pinned(source: ImageSource, digest: string | undefined): ImageSource {
  if (source.transport !== 'docker' || digest === undefined) return source;
  return { ...source, reference: `@${digest}` };
}

async function checkFetched(store: BlobStore, wanted: string): Promise<void> {
  checkDigest(await readFile(store.top), wanted, 'the manifest');
}

function referenceOf(source: ImageSource): string | undefined {
  return source.transport === 'oci' ? source.reference : undefined;
}

interface OriginInput {
  readonly image: OciImage;
  readonly kernel: StoredKernel;
  readonly key: string;
  readonly run: RunConfig;
  readonly inodes: number;
}

function originOf({ image, kernel, key, run, inodes }: OriginInput): ImageOrigin {
  const { name, version, digest } = kernel;
  return {
    manifest_digest: image.manifestDigest,
    config_digest: image.configDigest,
    build_key: key,
    kernel: { name, version, digest },
    created: image.config.created ?? null,
    layers: image.layers.length,
    inodes,
    args: [...run.args],
    env: [...run.env],
    cwd: run.cwd,
    uid: run.uid,
    gid: run.gid,
    groups: [...run.groups],
    stop_signal: run.stopSignal,
    volumes: [...run.volumes],
    exposed_ports: Object.keys(image.config.config?.ExposedPorts ?? {}).sort(),
    is_init: run.isInit,
  };
}
