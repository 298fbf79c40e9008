/** Runs what shares a key one at a time, in order of arrival; different keys do not wait for each other. */
export interface KeyedMutex {
  run<T>(key: string, work: () => Promise<T>): Promise<T>;
  /** Whether anything holds or waits for the key. */
  busy(key: string): boolean;
  /** Whether nothing holds any key. */
  idle(): boolean;
}

/**
 * INVARIANTS
 * - The work under a key starts when the work that came before it under the same key has settled, however it settled.
 * - A key without a holder and without waiters takes no memory.
 */
export function createKeyedMutex(): KeyedMutex {
  const tails = new Map<string, Promise<void>>();
  return {
    busy: (key) => tails.has(key),
    idle: () => tails.size === 0,
    run: (key, work) => {
      const before = tails.get(key);
      const mine = before === undefined ? work() : before.then(work);
      const tail = mine.then(
        () => {},
        () => {},
      );
      tails.set(key, tail);
      void tail.then(() => {
        if (tails.get(key) === tail) tails.delete(key);
      });
      return mine;
    },
  };
}
