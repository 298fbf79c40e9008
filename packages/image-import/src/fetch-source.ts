import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CodedError } from '@mvm/protocol';
import { limitExceeded } from '@mvm/rootfs-builder';
import { execa } from 'execa';
import { type BlobStore, ociLayout, skopeoDirectory } from './blobs.js';
import { sourceNotFound } from './errors.js';
import { exists } from './exists.js';
import { ownArchitecture } from './read-image.js';
import type { ImageSource } from './source.js';

const POLICY = '/etc/containers/policy.json';
const PROGRESS_MS = 300;
const TIMEOUT_MS = 3_600_000;

/** How a registry is reached; skopeo's options of the same names. */
export interface RegistryOptions {
  /** Credentials; default: skopeo's usual files. */
  readonly authFile?: string | undefined;
  /** Directory with a CA and client certificates. */
  readonly certDir?: string | undefined;
  /** False: plain HTTP and unknown certificates are accepted. */
  readonly tlsVerify?: boolean | undefined;
}

export interface FetchOptions extends RegistryOptions {
  /** An empty directory of the caller's. */
  readonly stagingDir: string;
  /** Bytes that may be copied into it. */
  readonly maxBytes: number;
  readonly onProgress?: ((fetchedBytes: number) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Throws `image.source_not_found` when a local source is not there. */
export async function checkSource(source: ImageSource): Promise<void> {
  if (source.transport === 'oci' && !(await exists(join(source.path, 'index.json')))) {
    throw sourceNotFound(source.path, 'is not an OCI layout: it has no index.json');
  }
  if (source.transport !== 'docker' && !(await exists(source.path))) {
    throw sourceNotFound(source.path, 'does not exist');
  }
}

/**
 * Makes a source readable as files: a layout is read where it is, everything else is copied by skopeo, which checks
 * digests. Throws `image.source_not_found`, `image.transfer_failed`, `image.limit_exceeded`, `image.tool_missing`.
 */
export async function fetchSource(source: ImageSource, options: FetchOptions): Promise<BlobStore> {
  if (source.transport === 'oci') return ociLayout(source.path);
  const tooLarge = new AbortController();
  const copy = skopeo(
    [
      'copy',
      '--quiet',
      ...registryArgs(source, options, 'src-'),
      skopeoName(source),
      `dir:${options.stagingDir}`,
    ],
    AbortSignal.any([tooLarge.signal, ...(options.signal === undefined ? [] : [options.signal])]),
  );
  const look = async (): Promise<void> => {
    const bytes = await sizeOfDirectory(options.stagingDir);
    if (bytes > options.maxBytes) tooLarge.abort(limitExceeded('bytes to fetch', options.maxBytes));
    else options.onProgress?.(bytes);
  };
  const timer = setInterval(() => void look(), PROGRESS_MS);
  try {
    await copy;
    await look();
    tooLarge.signal.throwIfAborted();
  } finally {
    clearInterval(timer);
  }
  return skopeoDirectory(options.stagingDir);
}

/** The manifest or index that a registry's tag stands for now. Throws as {@link fetchSource}. */
export async function inspectRegistry(
  source: Extract<ImageSource, { transport: 'docker' }>,
  options: RegistryOptions & { readonly signal?: AbortSignal | undefined },
): Promise<Buffer> {
  const { stdout } = await skopeo(
    ['inspect', '--raw', ...registryArgs(source, options, ''), skopeoName(source)],
    options.signal,
  );
  return Buffer.from(stdout);
}

function skopeoName(source: Exclude<ImageSource, { transport: 'oci' }>): string {
  if (source.transport === 'docker') return `docker://${source.repository}${source.reference}`;
  return `${source.transport}:${source.path}${source.reference === undefined ? '' : `:${source.reference}`}`;
}

function registryArgs(source: ImageSource, options: RegistryOptions, prefix: 'src-' | ''): string[] {
  if (source.transport !== 'docker') return [];
  return [
    ...(options.authFile === undefined ? [] : ['--authfile', options.authFile]),
    ...(options.certDir === undefined ? [] : [`--${prefix}cert-dir`, options.certDir]),
    ...(options.tlsVerify === undefined ? [] : [`--${prefix}tls-verify=${options.tlsVerify}`]),
  ];
}

async function skopeo(args: readonly string[], signal: AbortSignal | undefined) {
  const policy = (await exists(POLICY)) ? [] : ['--insecure-policy'];
  const command = [
    'skopeo',
    '--override-os=linux',
    `--override-arch=${ownArchitecture()}`,
    ...policy,
    ...args,
  ];
  // Copying needs no capability, and must not gain any.
  const isRoot = process.geteuid?.() === 0;
  const dropped = [
    'setpriv',
    '--no-new-privs',
    ...(isRoot ? ['--inh-caps=-all', '--bounding-set=-all'] : []),
    '--',
  ];
  const [program = '', ...rest] = [...dropped, ...command];
  const result = await execa(program, rest, {
    reject: false,
    stdin: 'ignore',
    encoding: 'buffer',
    timeout: TIMEOUT_MS,
    maxBuffer: 16 * 1024 * 1024,
    env: { LC_ALL: 'C' },
    ...(signal === undefined ? {} : { cancelSignal: signal }),
  });
  signal?.throwIfAborted();
  if (!result.failed) return { stdout: result.stdout };
  const words = lastWords(Buffer.from(result.stderr ?? '').toString('utf8'));
  if (result.code === 'ENOENT' || (result.exitCode === 127 && words.includes('skopeo'))) {
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'image.tool_missing',
      message: 'skopeo is missing',
      hint: 'install it: apt-get install skopeo',
    });
  }
  throw new CodedError({
    code: 'unavailable',
    reason: 'image.transfer_failed',
    message: `the image cannot be fetched: ${words}`,
    hint: 'check name, tag and credentials (skopeo login <registry>), then import again',
  });
}

/** skopeo's last message, without its log's prefix. */
function lastWords(text: string): string {
  const line = text.trim().split('\n').at(-1) ?? '';
  const message = /msg="((?:[^"\\]|\\.)*)"/.exec(line)?.[1]?.replaceAll('\\"', '"') ?? line;
  return message.slice(0, 500);
}

async function sizeOfDirectory(path: string): Promise<number> {
  let total = 0;
  for (const entry of await readdir(path).catch(() => [])) {
    total += (await stat(join(path, entry)).catch(() => undefined))?.size ?? 0;
  }
  return total;
}
