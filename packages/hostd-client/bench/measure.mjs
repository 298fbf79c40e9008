/**
 * Keeps `width` requests under way for `durationMs`. Returns the rate per second and each request's milliseconds.
 * @param {number} durationMs
 * @param {number} width
 * @param {() => Promise<unknown>} request
 */
export async function runFor(durationMs, width, request) {
  /** @type {number[]} */
  const latencies = [];
  const started = performance.now();
  const deadline = started + durationMs;
  const worker = async () => {
    for (let begun = performance.now(); begun < deadline; ) {
      await request();
      const now = performance.now();
      latencies.push(now - begun);
      begun = now;
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  return { rate: (latencies.length * 1000) / (performance.now() - started), latencies };
}

/** @param {readonly number[]} values */
export function median(values) {
  return quantile(values, 0.5);
}

/**
 * @param {readonly number[]} values
 * @param {number} share 0…1
 */
export function quantile(values, share) {
  const sorted = Float64Array.from(values).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
