/** How many streams each user has open, and how fast it opens them. */
import { streamsTooFast, tooManyStreams } from '../guest-agent/stream-errors.js';

const MAX_PER_USER = 256;
const OPENS_AT_ONCE = 100;
const OPENS_PER_SECOND = 50;

export interface StreamLimits {
  /** Counts a stream; the returned function ends it. Throws `guest_stream.too_many` and `guest_stream.too_fast`. */
  admit(uid: number): () => void;
}

interface User {
  streams: number;
  /** Opens that are free now, as of `at`. */
  tokens: number;
  at: number;
}

/** `nowMs` is a monotonic clock. */
export function createStreamLimits(nowMs: () => number = () => performance.now()): StreamLimits {
  const users = new Map<number, User>();
  return {
    admit: (uid) => {
      const now = nowMs();
      // A user without streams whose tokens are full again is like one that was never here.
      for (const [known, { streams, tokens, at }] of users)
        if (streams === 0 && tokens + ((now - at) / 1000) * OPENS_PER_SECOND >= OPENS_AT_ONCE)
          users.delete(known);
      const user = users.get(uid) ?? { streams: 0, tokens: OPENS_AT_ONCE, at: now };
      users.set(uid, user);
      user.tokens = Math.min(OPENS_AT_ONCE, user.tokens + ((now - user.at) / 1000) * OPENS_PER_SECOND);
      user.at = now;
      if (user.streams >= MAX_PER_USER) throw tooManyStreams(`user ${uid}`, MAX_PER_USER);
      if (user.tokens < 1) throw streamsTooFast(uid);
      user.tokens -= 1;
      user.streams += 1;
      let over = false;
      return () => {
        if (!over) user.streams -= 1;
        over = true;
      };
    },
  };
}
