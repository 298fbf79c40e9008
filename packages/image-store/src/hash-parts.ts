import { isCodedError } from '@mvm/protocol';
import { hashFile, openSource } from './copy-part.js';
import { BLOB_FILES } from './layout.js';
import type { Manifest } from './manifest.js';
import { glanceAtPart, type PartEntry, partsOf } from './read-store.js';

/** Hashes all files of a blob; undefined when each is as the manifest says. */
export async function hashParts(dir: string, manifest: Manifest): Promise<string | undefined> {
  for (const entry of partsOf(dir, manifest)) {
    const finding = await glanceAtPart(entry);
    if (typeof finding === 'object') return finding.problem;
    const problem = await hashPart(entry);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** Hashes one file; undefined when it is as the manifest says. */
export async function hashPart(entry: PartEntry): Promise<string | undefined> {
  let file: Awaited<ReturnType<typeof openSource>>;
  try {
    file = await openSource(entry.part, entry.path);
  } catch (error) {
    // Removed since it was glanced at: a finding about the blob, not about a file that the caller named.
    if (isCodedError(error) && error.code === 'not_found') return `${BLOB_FILES[entry.part]} is missing`;
    throw error;
  }
  try {
    return (await hashFile(file)) === entry.sha256
      ? undefined
      : `the content of ${BLOB_FILES[entry.part]} has changed`;
  } finally {
    await file.close();
  }
}
