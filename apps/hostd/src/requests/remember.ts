/**
 * The function with its last result kept for `ms` milliseconds, so that what costs a process is not paid by every
 * request. Concurrent calls share one run; a failure is not kept.
 */
export function rememberFor<T>(
  ms: number,
  work: () => Promise<T>,
  nowMs = (): number => performance.now(),
): () => Promise<T> {
  let kept: { until: number; result: Promise<T> } | null = null;
  return () => {
    if (kept !== null && nowMs() < kept.until) return kept.result;
    const result = work();
    const mine = { until: nowMs() + ms, result };
    kept = mine;
    result.catch(() => {
      if (kept === mine) kept = null;
    });
    return result;
  };
}
