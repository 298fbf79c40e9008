export {
  type AuditHead,
  type ChainedEntry,
  genesisHash,
  parseHead,
  parseLine,
  parseUnchainedLine,
  type RawLine,
  renderHead,
  renderLine,
  sha256Of,
  splitLines,
} from './chain.js';
export { type AuditEntry, auditEntrySchema, type ChainPosition, LOG_OPERATIONS } from './entry.js';
export {
  AUDIT_PROBLEMS,
  type AuditProblem,
  type AuditVerification,
  MAX_AUDIT_PROBLEMS,
  type VerifyOptions,
  verifyAuditLog,
} from './verify.js';
