export type { RegistryOptions } from './fetch-source.js';
export {
  type ImportDirs,
  type ImportedImage,
  type ImportOptions,
  type ImportProgress,
  type ImportRequest,
  importImage,
} from './import-image.js';
export { defaultName, type ImageSource, parseSource } from './source.js';
