/**
 * The channel to one guest's agent: a byte stream of the VMM's that ends in the guest. Each VM has one, which carries what
 * operations ask and the streams of callers.
 *
 * INVARIANTS
 * - One request is under way at a time; answers carry no ids.
 * - Each connection begins with a Sync and a random token. What comes before its SyncAck answers requests that were given
 *   up, by this hostd, by one before it, or before the guest slept, and is passed over. Behind it answers come in order.
 * - A connection on which a request failed is not used again.
 * - The peer is the guest. It may be silent, late, wrong or endless: every wait is bounded, frames and their number are
 *   capped, and nothing that it says is more than a hint.
 */
import { randomBytes } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CodedError, isCodedError } from '@mvm/protocol';
import { type GuestAgentRequest, type GuestAgentResponse, guestAgentRequestCodec } from '@mvm/protocol/guest';
import { AgentConnection } from './agent-connection.js';
import { canceled, noAnswer, nonsense, refused, unreachable } from './agent-errors.js';
import { streamLost, streamsUnsupported } from './stream-errors.js';
import { type GuestStream, StreamMux, type StreamSink } from './stream-mux.js';

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
/** How long a connection stays when its last stream has ended: the next one is likely to follow. */
const LINGER_MS = 1_000;
/** How long a connection stays for a stream that was prepared and is not opened yet. */
const PREPARED_MS = 60_000;
/** Before looking again for the agent of a guest that may be booting. */
const LOOK_AGAIN_MS = 50;

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
  /**
   * Opens, and answers what opens one stream at once. Throws what `open` does, `guest_stream.unsupported`,
   * `guest_stream.too_many` and `guest_stream.stalled`.
   */
  prepareStream(options: AskOptions): Promise<(spec: Uint8Array, sink: StreamSink) => GuestStream>;
  /** Closes the connection, unless streams use it. */
  rest(): void;
  /** Closes the connection; its streams end with `why`. */
  close(why?: CodedError): void;
}

/** One connection; `synced` once everything that comes is an answer to what was asked on it. */
interface Connected {
  readonly connection: AgentConnection;
  readonly mux: StreamMux;
  readonly token: string;
  synced: boolean;
  hasStreams: boolean;
}

/** The channel through what `connect` answers; null: there is no agent. Nothing happens before the first exchange. */
export function createAgentChannel(connect: (signal: AbortSignal) => Promise<Duplex | null>): AgentChannel {
  let current: Connected | null = null;
  let connecting: Promise<unknown> = Promise.resolve();
  let asking = 0;
  /** Streams that are prepared and not opened yet: opening them must find the same connection. */
  let prepared = 0;
  let linger: NodeJS.Timeout | undefined;

  const close = (why: CodedError = streamLost('the connection to the guest was closed')): void => {
    current?.connection.close(why);
    current = null;
  };
  const rest = (): void => {
    if (current !== null && current.mux.size === 0 && asking === 0 && prepared === 0) close();
  };

  function adopt(stream: Duplex): Connected {
    const connection = new AgentConnection(stream, {
      onStreamFrame: (body) => at.mux.receive(body),
      onEnd: (why) => {
        if (current === at) current = null;
        at.mux.endAll(
          why.reason.startsWith('guest_stream.') ? why : streamLost('the instance, or its agent, has ended'),
        );
      },
    });
    const mux = new StreamMux(connection, () => {
      clearTimeout(linger);
      linger = setTimeout(rest, LINGER_MS).unref();
    });
    const at: Connected = {
      connection,
      mux,
      token: randomBytes(TOKEN_BYTES).toString('hex'),
      synced: false,
      hasStreams: false,
    };
    return at;
  }

  async function next(at: Connected, signal: AbortSignal): Promise<GuestAgentResponse> {
    const answer = await at.connection.next(signal);
    if (answer.type === 'SyncAck' && answer.token === at.token) {
      at.synced = true;
      at.hasStreams = (answer.streams ?? 0) > 0;
    }
    return answer;
  }

  /** Waits for the token, or for an Error where it was expected: such an agent may not know Sync. */
  async function establish(signal: AbortSignal): Promise<Connected> {
    if (current !== null) return current;
    const stream = await connect(signal).catch((error: unknown) => {
      throw isCodedError(error)
        ? error
        : unreachable(error instanceof Error ? error.message : String(error), error);
    });
    if (stream === null) throw unreachable('no program in the guest has it open');
    const at = adopt(stream);
    current = at;
    await at.connection.write(guestAgentRequestCodec.encode({ type: 'Sync', token: at.token }), signal);
    for (let passed = 0; passed <= MAX_STALE_ANSWERS; passed += 1) {
      const answer = await next(at, signal);
      if (at.synced || answer.type === 'Error') return at;
    }
    throw nonsense('Sync');
  }

  /** One at a time: whoever comes meanwhile gets the same connection, or makes its own trial. */
  function connected(signal: AbortSignal): Promise<Connected> {
    const mine = connecting.then(() => establish(signal));
    connecting = mine.catch(() => {});
    return mine;
  }

  async function exchange<R extends AgentRequest>(request: R, signal: AbortSignal): Promise<AnswerTo<R>> {
    const at = await connected(signal);
    await at.connection.write(guestAgentRequestCodec.encode(request), signal);
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
    asking += 1;
    try {
      return await work(given === undefined ? deadline : AbortSignal.any([deadline, given]));
    } catch (error) {
      close();
      if (given?.aborted === true) throw canceled(what, error);
      throw deadline.aborted ? noAnswer(what, timeoutMs, error) : error;
    } finally {
      asking -= 1;
    }
  }

  /** A guest that has just been started opens its agent's channel a moment later. */
  async function connectedSoon(signal: AbortSignal): Promise<Connected> {
    for (;;) {
      try {
        return await connected(signal);
      } catch (error) {
        if (!isCodedError(error) || error.reason !== 'guest_agent.unreachable' || signal.aborted) throw error;
        await sleep(LOOK_AGAIN_MS);
        if (signal.aborted) throw error;
      }
    }
  }

  return {
    close,
    rest,
    open: async (options) => {
      await within('Sync', options, connected);
    },
    ask: (request, options) => within(request.type, options, (signal) => exchange(request, signal)),
    prepareStream: async (options) => {
      const at = await within('Sync', options, connectedSoon);
      if (!at.hasStreams) {
        rest();
        throw streamsUnsupported();
      }
      at.mux.checkRoom();
      prepared += 1;
      let isPrepared = true;
      const settle = (): void => {
        if (isPrepared) prepared -= 1;
        isPrepared = false;
        clearTimeout(forgotten);
        clearTimeout(linger);
        linger = setTimeout(rest, LINGER_MS).unref();
      };
      const forgotten = setTimeout(settle, PREPARED_MS).unref();
      return (spec, sink) => {
        settle();
        return at.mux.open(spec, sink);
      };
    },
  };
}
