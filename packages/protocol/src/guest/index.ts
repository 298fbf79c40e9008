export {
  type GuestAgentRequest,
  type GuestAgentResponse,
  guestAgentRequestCodec,
  guestAgentResponseCodec,
  MAX_GUEST_AGENT_FRAME_BYTES,
} from './agent.js';
export {
  decodeStreamFrame,
  encodeStreamFrame,
  isStreamFrame,
  MAX_STREAM_DATA,
  MAX_STREAM_FRAME_BYTES,
  STREAM_CHANNEL,
  STREAM_FRAME,
  STREAM_WINDOW_TO_CALLER,
  STREAM_WINDOW_TO_GUEST,
  type StreamFrame,
  type StreamSpec,
  streamCost,
  streamIdOf,
} from './stream.js';
export { type StreamEnd, type StreamOpen, streamEndCodec, streamOpenCodec } from './stream-end.js';
