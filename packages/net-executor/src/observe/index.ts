export {
  type CommandResult,
  type CommandRunner,
  createCommandRunner,
  type Program,
} from '../command/command-runner.js';
export { type NetworkDrift, verifyNetwork } from '../verify.js';
export { checkSubnetFree, type HostNetwork, overlapping, readHostNetworks } from './host-networks.js';
export { type ObserveOptions, observeNetwork } from './observe-network.js';
export { readDefaultRouteLinks } from './uplinks.js';
