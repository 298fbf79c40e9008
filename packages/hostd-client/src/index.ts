export {
  createHostdClient,
  type HostdClient,
  type HostdClientOptions,
  type RequestOptions,
} from './client.js';
export { DEFAULT_CLIENT_LIMITS, type HostdClientLimits } from './limits.js';
export type { ServerIdentity } from './negotiate.js';
