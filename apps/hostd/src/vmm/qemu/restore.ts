import type { ChildProcess } from 'node:child_process';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import type { CodedError } from '@mvm/protocol';
import { z } from 'zod';
import type { QmpClient } from './qmp.js';
import { parseQmpReturn } from './qmp-message.js';

const LOOK_AGAIN_MS = 5;
const RESTORED_WITHIN_MS = 300_000;

/** How the streaming of saved state into a QEMU ended: null, or what went wrong with the image. Never rejects. */
export type StateStream = Promise<unknown>;

/** Streams the saved state into a QEMU that was spawned with a pipe as its fourth descriptor. */
export function streamIncomingState(child: ChildProcess, image: AsyncIterable<Uint8Array>): StateStream {
  const pipe = child.stdio[3] as Writable;
  // QEMU closes the pipe as soon as it has all that it needs, or when it ends; which of the two, its run state tells.
  pipe.on('error', () => {});
  return pump(image, pipe).then(
    () => null,
    (error: unknown) => error,
  );
}

async function pump(image: AsyncIterable<Uint8Array>, pipe: Writable): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    pipe.once('close', () => resolve());
  });
  try {
    for await (const chunk of image) {
      if (pipe.destroyed || pipe.writableEnded) return;
      const written = new Promise<void>((resolve) => {
        pipe.write(chunk, () => resolve());
      });
      await Promise.race([written, closed]);
    }
  } finally {
    pipe.end();
  }
}

const statusSchema = z.object({ status: z.string().max(64) });

/** QEMU's run state, e.g. `prelaunch`, `paused`, `running`. Throws `vmm.bad_answer`. */
export async function runState(qmp: QmpClient): Promise<string> {
  return parseQmpReturn(statusSchema, await qmp.execute('query-status'), 'query-status').status;
}

/**
 * Waits until the state is loaded and the guest is paused at it. Throws what `fail` makes of a QEMU that does not take
 * it: such a QEMU ends.
 */
export async function stateLoaded(
  qmp: QmpClient,
  streaming: StateStream,
  fail: (what: string, cause?: unknown) => Promise<CodedError>,
): Promise<void> {
  const deadline = performance.now() + RESTORED_WITHIN_MS;
  for (;;) {
    const state = await runState(qmp);
    if (state === 'paused') break;
    if (state !== 'inmigrate' || performance.now() > deadline) {
      throw await fail(`the saved state is not loaded (QEMU says ${state})`);
    }
    await sleep(LOOK_AGAIN_MS);
  }
  const problem = await streaming;
  if (problem !== null) throw problem;
}
