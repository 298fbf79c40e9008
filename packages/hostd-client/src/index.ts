export {
  createHostdClient,
  type HostdClient,
  type HostdClientOptions,
} from './client.js';
export { openGuestStream } from './guest-stream.js';
