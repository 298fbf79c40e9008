import { hashParts } from './hash-parts.js';
import { damaged } from './image-errors.js';
import { type ResolvedImage, resolveImage } from './resolve-image.js';

/**
 * Resolves a reference and hashes every file against the manifest. Reads the whole image: seconds, not milliseconds.
 * Errors: those of `resolveImage`; `failed_precondition` (`image.damaged`) names the first file that is wrong.
 */
export async function verifyImage(root: string, ref: string): Promise<ResolvedImage> {
  const image = await resolveImage(root, ref);
  const problem = await hashParts(image.dir, image.manifest);
  if (problem === undefined) return image;
  throw damaged(image.name, problem);
}
