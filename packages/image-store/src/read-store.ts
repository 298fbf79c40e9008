import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { BLOB_MTIME_MS } from './copy-part.js';
import { BLOB_FILES, blobDir, type ImagePart, nameFile, namesDir, parseImageName } from './layout.js';
import {
  decodeManifest,
  decodeNameRecord,
  type Manifest,
  manifestDigest,
  type NameRecord,
} from './manifest.js';
import { errnoOf, toStoreError } from './store-error.js';

/** A blob as found on disk. */
export type BlobState =
  | { readonly kind: 'missing' }
  | { readonly kind: 'damaged'; readonly problem: string }
  | { readonly kind: 'present'; readonly dir: string; readonly manifest: Manifest };

/** One part of an image that a manifest names. */
export interface PartEntry {
  readonly part: ImagePart;
  readonly path: string;
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** The record of a name, or undefined when there is none or it does not decode (`add` repairs that). */
export async function readNameRecord(root: string, name: string): Promise<NameRecord | undefined> {
  const bytes = await readIfThere(nameFile(root, name));
  return bytes === undefined ? undefined : decodeNameRecord(bytes);
}

/** Names that the store holds, sorted; whether each record decodes is not looked at. An absent store has none. */
export async function readNames(root: string): Promise<string[]> {
  const entries = await readdirIfThere(namesDir(root));
  return entries
    .filter((entry) => entry.endsWith('.json'))
    .map((entry) => entry.slice(0, -'.json'.length))
    .filter(isName)
    .sort();
}

/** The manifest's files with their places. */
export function partsOf(dir: string, manifest: Manifest): PartEntry[] {
  const parts: PartEntry[] = [];
  for (const part of ['kernel', 'initrd', 'rootfs'] as const) {
    const entry = manifest[part];
    if (entry === null) continue;
    parts.push({ part, path: join(dir, BLOB_FILES[part]), sha256: entry.sha256, sizeBytes: entry.size });
  }
  return parts;
}

/** Sum of the sizes of an image's files, in bytes. */
export function sizeOf(manifest: Manifest): number {
  return manifest.kernel.size + (manifest.initrd?.size ?? 0) + manifest.rootfs.size;
}

/** Reads a blob's manifest and checks it against the digest that names it. File contents are not looked at. */
export async function readBlob(root: string, digest: string): Promise<BlobState> {
  const dir = blobDir(root, digest);
  const bytes = await readIfThere(join(dir, 'manifest.json'));
  if (bytes === undefined) {
    return (await readdirIfThere(dir)).length === 0
      ? { kind: 'missing' }
      : { kind: 'damaged', problem: 'manifest.json is missing' };
  }
  const manifest = decodeManifest(bytes);
  if (manifest === undefined || manifestDigest(bytes) !== digest) {
    return { kind: 'damaged', problem: 'manifest.json does not match its digest' };
  }
  return { kind: 'present', dir, manifest };
}

/** How a part's file differs from what was added, compared by size and modification time. */
export type PartFinding = 'intact' | 'touched' | { readonly problem: string };

/** `touched` means that only hashing can tell whether the content is still right. */
export async function glanceAtPart(entry: PartEntry): Promise<PartFinding> {
  const name = BLOB_FILES[entry.part];
  try {
    const found = await stat(entry.path);
    if (!found.isFile()) return { problem: `${name} is not a regular file` };
    if (found.size !== entry.sizeBytes) {
      return { problem: `${name} has ${found.size} bytes instead of ${entry.sizeBytes}` };
    }
    return found.mtimeMs === BLOB_MTIME_MS ? 'intact' : 'touched';
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return { problem: `${name} is missing` };
    throw toStoreError(error, { doing: 'read the image store', path: entry.path });
  }
}

/** Directory entries; none when the directory does not exist. */
export async function readdirIfThere(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return [];
    throw toStoreError(error, { doing: 'read the image store', path });
  }
}

async function readIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    throw toStoreError(error, { doing: 'read the image store', path });
  }
}

function isName(value: string): boolean {
  try {
    parseImageName(value);
    return true;
  } catch {
    return false;
  }
}
