export { applyStep, applySteps } from './apply-steps.js';
export type { PolicyPart } from './base-tables/base-table.js';
export { TABLE_NAME } from './base-tables/base-tables.js';
export {
  DEFAULT_LIMITS,
  MAX_TRACKED_PER_TENANT,
  PRIVATE_RANGES,
  TENANT_LIMITS,
} from './base-tables/limits.js';
export { checkConflicts, checkDesiredNetwork, checkPort, checkTenant } from './check-network.js';
export {
  type DesiredBridge,
  type DesiredTap,
  type ExpandedNetwork,
  expandDesired,
} from './expand-desired.js';
export { invertStep, invertSteps } from './invert.js';
export { planNetwork } from './plan.js';
export { type CompletePolicy, completePolicy, DEFAULT_POLICY } from './policy.js';
export { type ObservedProfile, type Profile, type ProfileSpec, profileFor } from './profile.js';
export { policiesOf } from './recorded-policies.js';
export { RULE_PREFERENCES, RULE_PROTOCOL, renderIpBatch } from './render-ip.js';
export { renderNftScript } from './render-nft.js';
export { renderBaseTables } from './render-tables.js';
export { type NetElement, SET_NAMES, SETS, type SetName } from './sets.js';
export type {
  DesiredHostNetwork,
  DesiredTenantNetwork,
  GuestPort,
  InstancePort,
  NetStep,
  NetStepKind,
  NetworkChange,
  NetworkContext,
  ObservedLink,
  ObservedNetwork,
  PolicyRule,
  Sysctl,
  TablesState,
  TenantGuests,
  TenantPolicies,
  UidRange,
} from './types.js';
export { type CheckedObjects, countChecked, type NetworkDrift, verifyNetwork } from './verify.js';
