export { parseSecrets, renderSecrets } from './document.js';
export { isStateDir, readSecrets, secretsPath, writeSecrets } from './file.js';
export {
  ALL_SECRETS_NAME,
  checkSizes,
  MAX_NAME_LENGTH,
  MAX_SECRETS,
  MAX_TOTAL_BYTES,
  MAX_VALUE_BYTES,
  parseSecretName,
  type Secrets,
  selectSecrets,
} from './names.js';
