import type { V2Request } from '@mvm/protocol';
import { requestCanceled, requestTimeout } from './errors.js';

/** Settles as the work does, unless its time is over or its signal fires first. */
export interface CallLimits {
  /** Calls back at most once, when the call should be given up; returns how to stop watching. */
  watch(onGivenUp: (error: Error) => void): () => void;
  /** Whole milliseconds left, at least 1. */
  remainingMs(): number;
  /** Throws `hostd.canceled` when the signal has fired already. */
  check(): void;
}

/** One deadline and one signal for everything that a request does: connecting, waiting its turn, the answer. */
export function startCallLimits(
  request: V2Request,
  socketPath: string,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): CallLimits {
  const deadline = performance.now() + timeoutMs;
  const remainingMs = (): number => Math.max(1, Math.ceil(deadline - performance.now()));
  return {
    remainingMs,
    check() {
      if (signal?.aborted) throw requestCanceled(request.type, signal.reason);
    },
    watch(onGivenUp) {
      const stop = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
      };
      const giveUp = (error: Error): void => {
        stop();
        onGivenUp(error);
      };
      const onAbort = (): void => giveUp(requestCanceled(request.type, signal?.reason));
      const timer = setTimeout(
        () => giveUp(requestTimeout(socketPath, request.type, timeoutMs)),
        remainingMs(),
      );
      signal?.addEventListener('abort', onAbort);
      return stop;
    },
  };
}
