export type { DropCount } from '../observe/drop-counts.js';
export {
  createNetworkExecutor,
  type NetworkExecutor,
  type NetworkExecutorOptions,
  type NetworkLogger,
} from './executor.js';
export { type NetworkCommand, renderCommands } from './render-commands.js';
export type { NetworkWatch, NetworkWatchEvent } from './watch.js';
