/**
 * The channel to one guest's agent: a Unix socket of the VMM, behind which a byte stream ends in the guest.
 *
 * INVARIANTS
 * - One request is under way at a time; the answers of a stream carry no ids.
 * - The peer is the guest. It may be silent, late, wrong or endless: every wait is bounded, frames are capped, and
 *   nothing that it says is more than a hint.
 * - An answer that comes after its request was given up is recognised by its kind and thrown away.
 */
import { connect, type Socket } from 'node:net';
import { readFrame, writeFrame } from '@mvm/framing';
import {
  CodedError,
  type GuestAgentRequest,
  type GuestAgentResponse,
  guestAgentRequestCodec,
  guestAgentResponseCodec,
  MAX_GUEST_AGENT_FRAME_BYTES,
} from '@mvm/protocol';

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
type AnswerTo<R extends GuestAgentRequest> = Extract<GuestAgentResponse, { type: Answers[R['type']] }>;

/** Stale answers that are passed over before an agent counts as broken. */
const MAX_STALE_ANSWERS = 16;

/**
 * Asks the agent behind `socketPath` once and returns its answer. The guest may have no agent: silence ends in
 * `deadline_exceeded`, reason `guest_agent.no_answer`, after `timeoutMs`. Other errors: `unavailable`
 * `guest_agent.unreachable`, `failed_precondition` `guest_agent.refused` (it answered Error) and
 * `guest_agent.nonsense`, `canceled` `request.canceled`.
 */
export async function askGuestAgent<R extends GuestAgentRequest>(
  socketPath: string,
  request: R,
  options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
): Promise<AnswerTo<R>> {
  const deadline = AbortSignal.timeout(options.timeoutMs);
  const signal = options.signal === undefined ? deadline : AbortSignal.any([deadline, options.signal]);
  let socket: Socket | null = null;
  try {
    socket = await open(socketPath, signal);
    await writeFrame(socket, guestAgentRequestCodec.encode(request), { signal });
    for (let stale = 0; stale < MAX_STALE_ANSWERS; stale += 1) {
      const body = await readFrame(socket, { maxFrameBytes: MAX_GUEST_AGENT_FRAME_BYTES, signal });
      if (body === null) throw unreachable(socketPath, 'the channel was closed');
      const answer = guestAgentResponseCodec.decode(body);
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
  } catch (error) {
    if (options.signal?.aborted === true) {
      throw new CodedError({
        code: 'canceled',
        reason: 'request.canceled',
        message: `${request.type} to the guest's agent was canceled`,
        cause: error,
      });
    }
    if (deadline.aborted) {
      throw new CodedError({
        code: 'deadline_exceeded',
        reason: 'guest_agent.no_answer',
        message: `the guest's agent did not answer ${request.type} within ${options.timeoutMs} ms`,
        hint: 'the guest may have no agent, or be busy: look at its console with mvm instance logs',
        cause: error,
      });
    }
    throw error;
  } finally {
    socket?.destroy();
  }
}

function open(socketPath: string, signal: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(socketPath);
    const onAbort = (): void => {
      socket.destroy();
      reject(unreachable(socketPath, 'connecting took too long'));
    };
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('error', (error) => {
      signal.removeEventListener('abort', onAbort);
      reject(unreachable(socketPath, error.message, error));
    });
    socket.once('connect', () => {
      signal.removeEventListener('abort', onAbort);
      // Errors from here on reach whoever reads or writes; the listener keeps them from being thrown.
      socket.removeAllListeners('error').on('error', () => {});
      resolve(socket);
    });
  });
}

function unreachable(socketPath: string, why: string, cause?: unknown): CodedError {
  return new CodedError({
    code: 'unavailable',
    reason: 'guest_agent.unreachable',
    message: `no channel to the guest's agent at ${socketPath}: ${why}`,
    cause,
  });
}
