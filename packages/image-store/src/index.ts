export {
  type AddedImage,
  addImage,
} from './add-image.js';
export { type ImageUser, listImageUsers } from './image-users.js';
export { imagesDir, parseImageName } from './layout.js';
export { type ImageListing, listImages } from './list-images.js';
export type { ImageOrigin } from './manifest.js';
export { nameBuilt } from './name-built.js';
export { planAddImage, planRemoveImages } from './plan-image.js';
export { type PrunedImages, pruneImages } from './prune-images.js';
export { type RemovedImage, removeImage } from './remove-image.js';
export { type ResolvedImage, resolveImage } from './resolve-image.js';
export { withTransferDir } from './transfer-dir.js';
export { verifyImage } from './verify-image.js';
