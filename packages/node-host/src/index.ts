export {
  isTemporaryName,
  readFileIfThere,
  renameDurably,
  syncDirectory,
  writeFileAtomic,
  writeNewFile,
} from './durable-file.js';
export { createSpaceReserve, type SpaceReserve } from './space-reserve.js';
