export {
  type ImportedImage,
  type ImportProgress,
  importImage,
} from './import-image.js';
