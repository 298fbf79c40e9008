/**
 * The channel to one guest's agent: a Unix socket of the VMM, behind which a byte stream ends in the guest.
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
import type { Socket } from 'node:net';
import { readFrame, writeFrame } from '@mvm/framing';
import {
  CodedError,
  type GuestAgentRequest,
  type GuestAgentResponse,
  guestAgentRequestCodec,
  guestAgentResponseCodec,
  MAX_GUEST_AGENT_FRAME_BYTES,
} from '@mvm/protocol';
import { connectAgent, unreachable } from './connect-agent.js';

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

/** A channel to one agent; connected by the first question, and again by the first after one that failed. */
export interface AgentChannel {
  /**
   * Asks once and returns the answer. The guest may have no agent: silence ends in `deadline_exceeded`, reason
   * `guest_agent.no_answer`, after `timeoutMs`. Other errors: `unavailable` `guest_agent.unreachable`,
   * `failed_precondition` `guest_agent.refused` (it answered Error) and `guest_agent.nonsense`, `canceled`
   * `request.canceled`, and what reading and decoding a frame throws. One question at a time.
   */
  ask<R extends AgentRequest>(
    request: R,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<AnswerTo<R>>;
  close(): void;
}

/** One connection; `synced` once everything that comes is an answer to what was asked on it. */
interface Connection {
  readonly socket: Socket;
  readonly token: string;
  synced: boolean;
  /** It answered Error where the token was expected: it may not know Sync. */
  unsure: boolean;
}

/** The channel behind `socketPath`. Nothing happens before the first question. */
export function createAgentChannel(socketPath: string): AgentChannel {
  let connection: Connection | null = null;
  const close = (): void => {
    connection?.socket.destroy();
    connection = null;
  };

  async function connect(signal: AbortSignal): Promise<Connection> {
    const socket = await connectAgent(socketPath, signal);
    connection = { socket, token: randomBytes(TOKEN_BYTES).toString('hex'), synced: false, unsure: false };
    const sync = { type: 'Sync', token: connection.token } as const;
    await writeFrame(socket, guestAgentRequestCodec.encode(sync), { signal });
    return connection;
  }

  async function exchange<R extends AgentRequest>(request: R, signal: AbortSignal): Promise<AnswerTo<R>> {
    const at = connection ?? (await connect(signal));
    await writeFrame(at.socket, guestAgentRequestCodec.encode(request), { signal });
    for (let passed = 0; passed <= MAX_STALE_ANSWERS; passed += 1) {
      const body = await readFrame(at.socket, { maxFrameBytes: MAX_GUEST_AGENT_FRAME_BYTES, signal });
      if (body === null) throw unreachable(socketPath, 'the channel was closed');
      const answer = guestAgentResponseCodec.decode(body);
      if (!at.synced) {
        at.synced = answer.type === 'SyncAck' && answer.token === at.token;
        if (at.synced || !at.unsure) {
          at.unsure = answer.type === 'Error';
          continue;
        }
      }
      if (answer.type === ANSWERS[request.type]) return answer as AnswerTo<R>;
      if (answer.type === 'Error') {
        throw new CodedError({
          code: 'failed_precondition',
          reason: 'guest_agent.refused',
          message: `the guest's agent refused ${request.type}: ${JSON.stringify(answer.message.slice(0, 200))}`,
        });
      }
    }
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'guest_agent.nonsense',
      message: `the guest's agent does not answer ${request.type} but other things`,
    });
  }

  return {
    close,
    ask: async (request, { timeoutMs, signal: given }) => {
      const deadline = AbortSignal.timeout(timeoutMs);
      try {
        return await exchange(request, given === undefined ? deadline : AbortSignal.any([deadline, given]));
      } catch (error) {
        close();
        if (given?.aborted === true) {
          throw new CodedError({
            code: 'canceled',
            reason: 'request.canceled',
            message: `${request.type} to the guest's agent was canceled`,
            cause: error,
          });
        }
        if (!deadline.aborted) throw error;
        throw new CodedError({
          code: 'deadline_exceeded',
          reason: 'guest_agent.no_answer',
          message: `the guest's agent did not answer ${request.type} within ${timeoutMs} ms`,
          hint: 'the guest may have no agent, or be busy: look at its console with mvm instance logs',
          cause: error,
        });
      }
    },
  };
}
