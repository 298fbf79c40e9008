import { lstat } from 'node:fs/promises';
import { join } from 'node:path';
import type { AddImageOptions, AddImageRequest } from './add-image.js';
import { copyPart } from './copy-part.js';
import { BLOB_FILES, type ImagePart } from './layout.js';
import type { Manifest } from './manifest.js';

/**
 * Reads an image's files, checks what they are, and copies them into the directory `staged`, or nowhere when it is null.
 * Answers what the image consists of.
 */
export async function readParts(
  staged: string | null,
  request: AddImageRequest,
  kernelArgs: string,
  options: AddImageOptions,
): Promise<Manifest> {
  const totalBytes = await totalSize([
    request.kernel,
    request.rootfs,
    ...(request.initrd ? [request.initrd] : []),
  ]);
  let doneBytes = 0;
  const read = async (part: ImagePart, source: string) => {
    const result = await copyPart({
      part,
      source,
      target: staged === null ? null : join(staged, BLOB_FILES[part]),
      signal: options.signal,
      link: request.link === true,
      onBytes: (bytes) => options.onProgress?.({ part, copiedBytes: doneBytes + bytes, totalBytes }),
    });
    doneBytes += result.size;
    return result;
  };
  const parts = {
    kernel: await read('kernel', request.kernel),
    initrd: request.initrd === undefined ? null : await read('initrd', request.initrd),
    rootfs: await read('rootfs', request.rootfs),
    kernel_args: kernelArgs,
  };
  return request.origin === undefined
    ? { schema_version: 1, ...parts }
    : { schema_version: 2, ...parts, origin: request.origin };
}

async function totalSize(paths: readonly string[]): Promise<number> {
  let total = 0;
  for (const path of paths) {
    // A file that cannot be examined is reported by the copy, which knows which part it is.
    total += (await lstat(path).catch(() => undefined))?.size ?? 0;
  }
  return total;
}
