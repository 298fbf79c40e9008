export {
  createNetworkExecutor,
  type NetworkExecutor,
  type NetworkExecutorOptions,
  type NetworkLogger,
} from './executor.js';
export type { NetworkWatch, NetworkWatchEvent } from './watch.js';
