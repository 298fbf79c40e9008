export { type ConnectOptions, connectFrames, type RequestOnceOptions, requestOnce } from './client.js';
export { connectSocket } from './connect-socket.js';
export type { FrameConnection } from './connection.js';
export { encodeFrame, HEADER_BYTES } from './encode-frame.js';
export {
  FRAMING_REASONS,
  FramingError,
  type FramingErrorInit,
  type FramingReason,
  isFramingError,
} from './errors.js';
export { FrameDecoder, type FrameDecoderOptions } from './frame-decoder.js';
export { DEFAULT_LIMITS, type FrameLimits } from './limits.js';
export type { ListenTarget } from './listen.js';
export { type Codec, recvMessage, sendMessage } from './messages.js';
export { createFrameServer, type FrameServer, type FrameServerOptions } from './server.js';
export { checkSocketPath, MAX_SOCKET_PATH_BYTES } from './socket-path.js';
export { removeStaleSocket } from './stale-socket.js';
export { readFrame, type StreamFrameOptions, writeFrame } from './stream-frames.js';
