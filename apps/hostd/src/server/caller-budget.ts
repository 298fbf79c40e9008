/**
 * What all connections of one user may have under way together: requests, answers that are not taken yet, connections.
 *
 * INVARIANTS
 * - Whoever waits, waits only for what the same user has under way; of two that need as much, the first comes first. A
 *   request with a short answer waits for no answers, only for a free place: a stop must not wait behind unread logs.
 */

/** Limits for one user, over all its connections. */
export interface CallerLimits {
  readonly maxConnections: number;
  /** Requests under way. */
  readonly maxInFlight: number;
  /**
   * Bytes of answers that are not taken yet. A request that is being carried out counts with what it may answer. One that
   * answers briefly (`SHORT_ANSWER_BYTES`) counts, and is carried out nevertheless.
   */
  readonly maxAnswerBytes: number;
}

/** What an answer may take before it is known: the longest frame, or that of an operation, which answers little. */
export const ANSWER_BYTES = 1_048_576;
export const SHORT_ANSWER_BYTES = 4_096;

/** One request that is under way. */
export interface Admission {
  /** What its answer takes from now on, in place of what it might have. */
  answered(bytes: number): void;
  /** It is over: answered and taken, or given up. Repeating it changes nothing. */
  release(): void;
}

export interface CallerBudget {
  /** Counts a connection; null when the user has too many. The returned function ends it. */
  connect(uid: number): (() => void) | null;
  /** Resolves when a request of the user that may answer so much may be carried out. */
  admit(uid: number, answerBytes: number): Promise<Admission>;
}

interface Caller {
  connections: number;
  inFlight: number;
  answerBytes: number;
  readonly waiting: { readonly bytes: number; readonly admit: () => void }[];
}

export function createCallerBudget(limits: CallerLimits): CallerBudget {
  const callers = new Map<number, Caller>();
  const callerOf = (uid: number): Caller => {
    const known = callers.get(uid);
    if (known !== undefined) return known;
    const made: Caller = { connections: 0, inFlight: 0, answerBytes: 0, waiting: [] };
    callers.set(uid, made);
    return made;
  };
  /** One request at least is always carried out: an answer that fits into a frame fits in here. */
  const hasRoom = ({ inFlight, answerBytes }: Caller, bytes: number): boolean =>
    inFlight === 0 ||
    (inFlight < limits.maxInFlight &&
      (bytes <= SHORT_ANSWER_BYTES || answerBytes + bytes <= limits.maxAnswerBytes));
  const wake = (uid: number, caller: Caller): void => {
    for (;;) {
      const next = caller.waiting.findIndex(({ bytes }) => hasRoom(caller, bytes));
      if (next < 0) break;
      for (const { bytes, admit } of caller.waiting.splice(next, 1)) {
        caller.inFlight += 1;
        caller.answerBytes += bytes;
        admit();
      }
    }
    if (caller.connections === 0 && caller.inFlight === 0 && caller.waiting.length === 0) callers.delete(uid);
  };
  return {
    connect: (uid) => {
      const caller = callerOf(uid);
      if (caller.connections >= limits.maxConnections) return null;
      caller.connections += 1;
      let ended = false;
      return () => {
        if (ended) return;
        ended = true;
        caller.connections -= 1;
        wake(uid, caller);
      };
    },
    admit: async (uid, answerBytes) => {
      const caller = callerOf(uid);
      const admitted = new Promise<void>((admit) => {
        caller.waiting.push({ bytes: answerBytes, admit });
      });
      wake(uid, caller);
      await admitted;
      let counted = answerBytes;
      let over = false;
      const count = (bytes: number): void => {
        caller.answerBytes += bytes - counted;
        counted = bytes;
      };
      return {
        answered: (bytes) => {
          if (over) return;
          count(bytes);
          wake(uid, caller);
        },
        release: () => {
          if (over) return;
          over = true;
          count(0);
          caller.inFlight -= 1;
          wake(uid, caller);
        },
      };
    },
  };
}
