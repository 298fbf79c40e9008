import type { ChildProcess } from 'node:child_process';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type CodedError, isCodedError } from '@mvm/protocol';
import type { VmExit } from '../vmm.js';
import type { QmpClient } from './qmp.js';

const LOOK_AGAIN_MS = 5;
const RESTORED_WITHIN_MS = 300_000;

/** How the feeding of a restored QEMU ended: null, or what went wrong with the image. Never rejects. */
export type Feeding = Promise<unknown>;

/** Streams the saved state into a QEMU that was spawned with a pipe as its fourth descriptor. */
export function feed(child: ChildProcess, image: AsyncIterable<Uint8Array>): Feeding {
  const pipe = child.stdio[3] as Writable;
  return pipeline(image, pipe).then(
    () => null,
    (error: unknown) => {
      pipe.destroy();
      return error;
    },
  );
}

/** QEMU's run state, e.g. `prelaunch`, `paused`, `running`. */
export async function runState(qmp: QmpClient): Promise<unknown> {
  const answer = await qmp.execute('query-status');
  return (answer as { status?: unknown } | null)?.status;
}

/**
 * Waits until the state is loaded and the guest is paused at it. Throws the image's own error when that failed (damaged,
 * wrong key), else what `fail` makes of QEMU's end: a QEMU that does not like its state ends.
 */
export async function restored(
  qmp: QmpClient,
  feeding: Feeding,
  childExit: Promise<VmExit>,
  fail: (what: string, cause?: unknown) => Promise<CodedError>,
): Promise<void> {
  const deadline = performance.now() + RESTORED_WITHIN_MS;
  let fed: unknown;
  void feeding.then((problem) => {
    fed = problem ?? undefined;
  });
  for (;;) {
    let state: unknown;
    try {
      state = await runState(qmp);
    } catch (error) {
      await childExit;
      const problem = await feeding;
      // A broken pipe is only the echo of QEMU's end; anything else is why it came to that.
      if (isCodedError(problem)) throw problem;
      throw await fail('QEMU does not take the saved state', error);
    }
    if (state === 'paused') {
      const problem = await feeding;
      if (problem !== null) throw problem;
      return;
    }
    if (fed !== undefined) throw fed;
    if (state !== 'inmigrate' || performance.now() > deadline) {
      throw await fail(`the saved state is not loaded (QEMU says ${String(state)})`);
    }
    await sleep(LOOK_AGAIN_MS);
  }
}
