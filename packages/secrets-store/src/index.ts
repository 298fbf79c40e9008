export { renderSecrets } from './document.js';
export { changeSecrets, isStateDir, readSecrets, secretsPath } from './file.js';
export {
  ALL_SECRETS_NAME,
  checkSizes,
  MAX_SECRETS,
  MAX_VALUE_BYTES,
  parseSecretName,
  type Secrets,
  selectSecrets,
} from './names.js';
