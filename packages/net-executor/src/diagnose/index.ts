export { DROP_MEANINGS, type DropMeaning } from './drop-meanings.js';
export { findRoute, findWayBack } from './find-route.js';
export {
  type FirewallConflict,
  type FirewallFindings,
  type ForeignEffect,
  type ForeignSite,
  findFirewallConflicts,
  type ReadProgram,
} from './host-firewall/find-conflicts.js';
export type { Destination, NetworkSite, PathAnswer, PathStep, Route } from './trace/path.js';
export { type PolicySource, policySource } from './trace/policy-source.js';
export { type InboundAnswer, type InboundQuestion, traceInbound } from './trace/trace-inbound.js';
export { type OutboundQuestion, traceOutbound } from './trace/trace-outbound.js';
