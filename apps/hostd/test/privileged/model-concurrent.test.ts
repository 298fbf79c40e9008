import fc from 'fast-check';
import { afterAll, beforeAll, test } from 'vitest';
import { type Batch, batch, runBatch } from '../model/batches.js';
import { createHarness, type Harness } from '../model/harness.js';
import { modelRuns, reportRuns } from '../model/settings.js';

// Random batches of requests, each sent at one moment by clients of both versions, while VMs die and hostd is killed: some
// order of the requests explains every answer and the state that they leave, and the kernel agrees with it.

const { parameters, timeoutMs } = modelRuns(30);
let harness: Harness;

beforeAll(async () => {
  harness = await createHarness();
});
afterAll(() => harness?.dispose());

test(
  'every batch is explained by some order',
  async () => {
    const began = performance.now();
    let ran = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(batch, { minLength: 2, maxLength: 5, size: 'max' }),
        async (batches: Batch[]) => {
          ran += 1;
          let failed = true;
          let state = await harness.begin();
          try {
            for (const made of batches) {
              state = await runBatch(made, state, harness);
              await harness.assertConsistent(state);
            }
            failed = false;
          } finally {
            await harness.end(failed);
          }
        },
      ),
      parameters as fc.Parameters<[Batch[]]>,
    );
    reportRuns('at the same time', parameters.seed, ran, harness.counts, performance.now() - began);
  },
  timeoutMs,
);
