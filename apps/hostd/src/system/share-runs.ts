/**
 * Work that costs a child process, for many who want its result at once: one runs at a time, and who comes meanwhile shares
 * the one that follows, so that no result is older than the question. `key` tells what may be shared.
 */
export function shareRuns<A extends readonly unknown[], T>(
  work: (...args: A) => Promise<T>,
  key: (...args: A) => unknown = () => '',
): (...args: A) => Promise<T> {
  let last: Promise<unknown> = Promise.resolve();
  const waiting = new Map<unknown, Promise<T>>();
  return (...args) => {
    const of = key(...args);
    const known = waiting.get(of);
    if (known !== undefined) return known;
    const mine = last
      .catch(() => {})
      .then(() => {
        waiting.delete(of);
        return work(...args);
      });
    waiting.set(of, mine);
    last = mine;
    return mine;
  };
}
