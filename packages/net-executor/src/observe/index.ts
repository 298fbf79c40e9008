export {
  type CommandResult,
  type CommandRunner,
  createCommandRunner,
  type Program,
} from '../command/command-runner.js';
export {
  type FirewallConflict,
  type FirewallFindings,
  type ForeignEffect,
  type ForeignSite,
  findFirewallConflicts,
  type ReadProgram,
} from '../host-firewall/find-conflicts.js';
export { type NetworkDrift, verifyNetwork } from '../verify.js';
export { findRoute, findWayBack } from './find-route.js';
export { checkSubnetFree, type HostNetwork, overlapping, readHostNetworks } from './host-networks.js';
export { type ObserveOptions, observeNetwork } from './observe-network.js';
export { readDefaultRouteLinks } from './uplinks.js';
