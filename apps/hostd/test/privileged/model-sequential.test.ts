import fc from 'fast-check';
import { afterAll, beforeAll, test } from 'vitest';
import type { Model } from '../model/command.js';
import { commands } from '../model/commands.js';
import { createHarness, type Harness } from '../model/harness.js';
import { modelRuns, reportRuns } from '../model/settings.js';

// Random histories, one request at a time: the answer is exactly the model's, and after each the model, the files and the
// kernel agree. hostd is a process of its own with the fake VMM; everything else is real.

const { parameters, replayPath, timeoutMs } = modelRuns(40);
let harness: Harness;

beforeAll(async () => {
  harness = await createHarness();
});
afterAll(() => harness?.dispose());

test(
  'every history ends as the model says',
  async () => {
    const began = performance.now();
    let ran = 0;
    const size = replayPath === null ? {} : { replayPath };
    await fc.assert(
      fc.asyncProperty(fc.commands(commands, { maxCommands: 30, size: 'max', ...size }), async (history) => {
        ran += 1;
        let failed = true;
        const model: Model = { state: await harness.begin() };
        try {
          await fc.asyncModelRun(() => ({ model, real: harness }), history);
          failed = false;
        } finally {
          await harness.end(failed);
        }
      }),
      parameters as fc.Parameters<[Iterable<fc.AsyncCommand<Model, Harness>>]>,
    );
    reportRuns('one at a time', parameters.seed, ran, harness.counts, performance.now() - began);
  },
  timeoutMs,
);
