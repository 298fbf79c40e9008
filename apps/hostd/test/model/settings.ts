import fc from 'fast-check';

/**
 * How many histories are tried, and which. `MVM_MODEL_RUNS` is how many of each kind; `MVM_MODEL_SEED`, `MVM_MODEL_PATH`
 * and `MVM_MODEL_REPLAY_PATH` repeat a failure by what it printed.
 */
export function modelRuns(defaultRuns: number): {
  readonly parameters: fc.Parameters<unknown>;
  readonly replayPath: string | null;
  readonly timeoutMs: number;
} {
  const { MVM_MODEL_RUNS, MVM_MODEL_SEED, MVM_MODEL_PATH, MVM_MODEL_REPLAY_PATH } = process.env;
  const numRuns = MVM_MODEL_RUNS === undefined ? defaultRuns : Number(MVM_MODEL_RUNS);
  if (!(numRuns >= 1)) throw new Error(`MVM_MODEL_RUNS is a number of runs, not ${MVM_MODEL_RUNS}`);
  const usual = fc.readConfigureGlobal().seed ?? Date.now() | 0;
  const seed = MVM_MODEL_SEED === undefined ? usual : Number(MVM_MODEL_SEED);
  return {
    parameters: {
      numRuns,
      seed,
      endOnFailure: false,
      ...(MVM_MODEL_PATH === undefined ? {} : { path: MVM_MODEL_PATH }),
    },
    replayPath: MVM_MODEL_REPLAY_PATH ?? null,
    timeoutMs: 300_000 + numRuns * 10_000,
  };
}

/** Prints what a test did: seed, histories, requests, looks that agreed, and how long it took. */
export function reportRuns(
  kind: string,
  seed: number | undefined,
  histories: number,
  { requests, agreements }: { readonly requests: number; readonly agreements: number },
  ms: number,
): void {
  process.stderr.write(
    `model, ${kind}: seed ${seed}, ${histories} histories, ${requests} requests, ${agreements} agreements of model, files and kernel, ${Math.round(ms)} ms\n`,
  );
}
