/**
 * The channel to one guest's agent: a byte stream of the VMM's that ends in the guest.
 *
 * INVARIANTS
 * - One request is under way at a time; the answers of a stream carry no ids.
 * - Each connection begins with a Sync and a random token. What comes before its SyncAck answers requests that were given
 *   up, by this hostd, by one before it, or before the guest slept, and is passed over. Behind it answers come in order.
 * - A connection on which a request failed is not used again.
 * - The peer is the guest. It may be silent, late, wrong or endless: every wait is bounded, frames and their number are
 *   capped, and nothing that it says is more than a hint.
 */
import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { readFrame, writeFrame } from '@mvm/framing';
import {
  type GuestAgentRequest,
  type GuestAgentResponse,
  guestAgentRequestCodec,
  guestAgentResponseCodec,
  isCodedError,
  MAX_GUEST_AGENT_FRAME_BYTES,
} from '@mvm/protocol';
import { canceled, noAnswer, nonsense, refused, unreachable } from './agent-errors.js';

/** The answer that belongs to each request. */
interface Answers {
  Ping: 'Pong';
  WorkerStatus: 'WorkerStatus';
  SleepPrep: 'SleepPrepAck';
  Wake: 'WakeAck';
  Resync: 'ResyncAck';
}
const ANSWERS: Answers = {
  Ping: 'Pong',
  WorkerStatus: 'WorkerStatus',
  SleepPrep: 'SleepPrepAck',
  Wake: 'WakeAck',
  Resync: 'ResyncAck',
};
/** What an agent is asked: `Sync` is the channel's own. */
export type AgentRequest = Extract<GuestAgentRequest, { type: keyof Answers }>;
export type AnswerTo<R extends AgentRequest> = Extract<GuestAgentResponse, { type: Answers[R['type']] }>;

/** Answers that are passed over before an agent counts as broken. */
const MAX_STALE_ANSWERS = 16;
const TOKEN_BYTES = 12;

/** How long, and until when, one exchange may take. */
export interface AskOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** A channel to one agent. One exchange at a time. */
export interface AgentChannel {
  /**
   * Connects, unless it is connected, and waits until the agent listens. The guest may have no agent: silence ends in
   * `deadline_exceeded`, reason `guest_agent.no_answer`, after `timeoutMs`. Other errors: `unavailable`
   * `guest_agent.unreachable`, `failed_precondition` `guest_agent.nonsense`, `canceled` `request.canceled`, and what
   * reading and decoding a frame throws.
   */
  open(options: AskOptions): Promise<void>;
  /** Opens, asks once and returns the answer. Throws what `open` does, and `guest_agent.refused`: it answered Error. */
  ask<R extends AgentRequest>(request: R, options: AskOptions): Promise<AnswerTo<R>>;
  close(): void;
}

/** One connection; `synced` once everything that comes is an answer to what was asked on it. */
interface Connection {
  readonly stream: Duplex;
  readonly token: string;
  synced: boolean;
}

/** The channel through what `connect` answers; null: there is no agent. Nothing happens before the first exchange. */
export function createAgentChannel(connect: (signal: AbortSignal) => Promise<Duplex | null>): AgentChannel {
  let connection: Connection | null = null;
  const close = (): void => {
    connection?.stream.destroy();
    connection = null;
  };

  async function next(at: Connection, signal: AbortSignal): Promise<GuestAgentResponse> {
    const body = await readFrame(at.stream, { maxFrameBytes: MAX_GUEST_AGENT_FRAME_BYTES, signal });
    if (body === null) throw unreachable('the channel was closed');
    const answer = guestAgentResponseCodec.decode(body);
    if (answer.type === 'SyncAck' && answer.token === at.token) at.synced = true;
    return answer;
  }

  /** Waits for the token, or for an Error where it was expected: such an agent may not know Sync. */
  async function connected(signal: AbortSignal): Promise<Connection> {
    if (connection !== null) return connection;
    const stream = await connect(signal).catch((error: unknown) => {
      throw isCodedError(error)
        ? error
        : unreachable(error instanceof Error ? error.message : String(error), error);
    });
    if (stream === null) throw unreachable('no program in the guest has it open');
    const at = { stream, token: randomBytes(TOKEN_BYTES).toString('hex'), synced: false };
    connection = at;
    await writeFrame(stream, guestAgentRequestCodec.encode({ type: 'Sync', token: at.token }), { signal });
    for (let passed = 0; passed <= MAX_STALE_ANSWERS; passed += 1) {
      const answer = await next(at, signal);
      if (at.synced || answer.type === 'Error') return at;
    }
    throw nonsense('Sync');
  }

  async function exchange<R extends AgentRequest>(request: R, signal: AbortSignal): Promise<AnswerTo<R>> {
    const at = await connected(signal);
    await writeFrame(at.stream, guestAgentRequestCodec.encode(request), { signal });
    for (let passed = 0; passed <= MAX_STALE_ANSWERS; passed += 1) {
      const answer = await next(at, signal);
      if (answer.type === ANSWERS[request.type]) return answer as AnswerTo<R>;
      if (answer.type === 'Error') throw refused(request.type, answer.message);
    }
    throw nonsense(request.type);
  }

  /** Within its time; a connection on which something failed is not used again. */
  async function within<T>(
    what: GuestAgentRequest['type'],
    { timeoutMs, signal: given }: AskOptions,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const deadline = AbortSignal.timeout(timeoutMs);
    try {
      return await work(given === undefined ? deadline : AbortSignal.any([deadline, given]));
    } catch (error) {
      close();
      if (given?.aborted === true) throw canceled(what, error);
      throw deadline.aborted ? noAnswer(what, timeoutMs, error) : error;
    }
  }

  return {
    close,
    open: async (options) => {
      await within('Sync', options, connected);
    },
    ask: (request, options) => within(request.type, options, (signal) => exchange(request, signal)),
  };
}
