export {
  createHostdClient,
  type HostdClient,
  type HostdClientOptions,
} from './client.js';
