import { z } from 'zod';
import type { Codec } from '../codec.js';
import { compileTagged } from '../json/tagged-shape.js';
import type { Tagged } from '../tagged.js';
import { taggedCodec } from '../v1/codec.js';
import { u64Schema } from '../wire-integers.js';

/** Largest frame body in bytes on a guest agent's channel. */
export const MAX_GUEST_AGENT_FRAME_BYTES = 262_144;

/**
 * What hostd asks a guest's agent, in frames of at most 256 KiB. The agent answers each in turn. `Resync` and `Sync` are
 * ours: an agent that does not know them answers `Error`, and nothing is lost but the clock and the entropy, and the
 * certainty that an answer is not a late one to an earlier request of the same kind.
 * Source: docs/protocol.md#guest-agent.
 */
export const guestAgentRequestSchemas = {
  Ping: null,
  WorkerStatus: null,
  /** Finish or park what is under way, flush, and answer within so many seconds. */
  SleepPrep: z.object({ drain_timeout_secs: u64Schema }),
  /** The guest has been restored and runs again. */
  Wake: null,
  /** Wall-clock time in milliseconds since 1970, and fresh random bytes for the guest's generator. */
  Resync: z.object({ unix_time_ms: u64Schema, entropy_base64: z.string() }),
  /** Say the token: whatever comes before it answers earlier requests. */
  Sync: z.object({ token: z.string() }),
} as const;
export type GuestAgentRequest = Tagged<typeof guestAgentRequestSchemas>;

/** What an agent answers. */
export const guestAgentResponseSchemas = {
  Pong: null,
  WorkerStatus: z.object({ status: z.string(), last_busy_at: z.string().nullable() }),
  SleepPrepAck: z.object({ success: z.boolean(), detail: z.string().nullable() }),
  WakeAck: z.object({ success: z.boolean() }),
  ResyncAck: z.object({ success: z.boolean() }),
  /** `streams`: the version of streams that the agent has; absent: it has none. */
  SyncAck: z.object({ token: z.string(), streams: z.int().min(0).max(65_535).optional() }),
  Error: z.object({ message: z.string() }),
} as const;
export type GuestAgentResponse = Tagged<typeof guestAgentResponseSchemas>;

/** Requests to a guest's agent. */
export const guestAgentRequestCodec: Codec<GuestAgentRequest> = taggedCodec(
  compileTagged(guestAgentRequestSchemas),
);
/** Answers of a guest's agent, which is the guest's: trusted with nothing but its shape. */
export const guestAgentResponseCodec: Codec<GuestAgentResponse> = taggedCodec(
  compileTagged(guestAgentResponseSchemas),
);
