/** What of a log's stream (pino's `destination`) decides what becomes of a write that fails. */
interface LogStream {
  on(event: 'error', listener: (error: unknown) => void): unknown;
  flushSync(): void;
}

/** What is kept of a log that cannot be written, in bytes; lines beyond it are dropped. */
export const MAX_UNWRITTEN_LOG_BYTES = 1_048_576;

/**
 * Make a synchronous log stream one that never ends or stops its daemon. Without this, a full disk below the log raises an
 * uncaught error, and the flush that follows repeats the write until there is space. What could not be written is written
 * with the next line that can be. The stream must be made with `sync` and `maxLength` {@link MAX_UNWRITTEN_LOG_BYTES}.
 */
export function keepRunningWithoutLog<S extends LogStream>(stream: S): S {
  stream.on('error', () => {});
  // Everything that can be written is written at once.
  stream.flushSync = () => {};
  return stream;
}
