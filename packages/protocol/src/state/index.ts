export { findProgramProblem, type RestartPolicy } from '../guest-program.js';
export {
  checkNetworkPolicy,
  findNetworkPolicyProblems,
  type NetworkPolicyProblem,
} from '../network-policy.js';
export type { SleepPolicy } from '../sleep-policy.js';
export { findNotHonoured, type NotHonoured, scopesForHostd } from './coordinator-fields.js';
export { type DesiredProblem, findUnreachableCounts } from './desired-limits.js';
export {
  type DesiredPool,
  type DesiredState,
  type DesiredTenant,
  parseDesiredState,
} from './desired-state.js';
export { assertTransition, INSTANCE_TRANSITIONS, type InstanceOperation } from './transitions.js';
