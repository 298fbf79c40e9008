export {
  isTemporaryName,
  readFileIfThere,
  renameDurably,
  syncDirectory,
  writeFileAtomic,
  writeNewFile,
} from './durable-file.js';
