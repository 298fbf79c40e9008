export type { DropCount } from '../observe/drop-counts.js';
export { createNetworkExecutor } from './executor.js';
export { findConntrackProblem } from './find-conntrack-problem.js';
export type {
  NetworkExecutor,
  NetworkExecutorOptions,
  NetworkLogger,
  PortOptions,
} from './network-executor.js';
export { type NetworkCommand, renderCommands } from './render-commands.js';
export type { NetworkWatch, NetworkWatchEvent } from './watch.js';
