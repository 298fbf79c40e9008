export {
  type AddedImage,
  type AddImageOptions,
  type AddImageProgress,
  type AddImageRequest,
  addImage,
} from './add-image.js';
export {
  type ImagePart,
  type ImageReference,
  imagesDir,
  parseImageName,
  parseImageReference,
} from './layout.js';
export { type ImageListing, listImages } from './list-images.js';
export { MAX_KERNEL_ARGS_LENGTH, type Manifest, type ManifestPart } from './manifest.js';
export { planAddImage, planRemoveImages } from './plan-image.js';
export { type RemovedImage, removeImage } from './remove-image.js';
export { type ResolvedImage, resolveImage } from './resolve-image.js';
export { verifyImage } from './verify-image.js';
