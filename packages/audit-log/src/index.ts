export {
  type AuditHead,
  genesisHash,
  parseHead,
  parseLine,
  parseUnchainedLine,
  renderHead,
  renderLine,
  sha256Of,
  splitLines,
} from './chain.js';
export { type AuditEntry, type ChainPosition, LOG_OPERATIONS } from './entry.js';
export {
  type AuditVerification,
  verifyAuditLog,
} from './verify.js';
