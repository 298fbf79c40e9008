/** A wake's reading of its snapshot, beside the steps before it. */
import { randomBytes } from 'node:crypto';
import { readdirSync, readlinkSync } from 'node:fs';
import { mkdir, mkdtemp, rm, truncate } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { executePlan, type PlanOutcome } from '../../src/execute/execute-plan.js';
import { noHooks } from '../../src/execute/hooks.js';
import type { HostPorts } from '../../src/execute/ports.js';
import type { GuestConfig, StepPlan } from '../../src/execute/step.js';
import type { SnapshotManifest } from '../../src/snapshot/manifest.js';
import {
  commitSnapshot,
  snapshotPaths,
  stageManifest,
  writeParts,
} from '../../src/snapshot/snapshot-store.js';
import { createLayout } from '../../src/state/layout.js';
import type { SavedPart } from '../../src/vmm/vmm.js';

const address = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-1' };
const plan: StepPlan = {
  operation: 'wake',
  onFailure: 'undo',
  steps: [
    { kind: 'config_drive.build', address, config: {} as GuestConfig },
    { kind: 'snapshot.verify', address },
  ],
};
let directory: string;
let memory: string;
let readWhileUndone: boolean;

/** Whether this process has the memory image open. */
function isBeingRead(): boolean {
  return readdirSync('/proc/self/fd').some((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(memory);
    } catch {
      return false;
    }
  });
}

async function untilRead(): Promise<void> {
  const deadline = performance.now() + 5_000;
  while (!isBeingRead()) {
    if (performance.now() > deadline) throw new Error('the memory image is not read');
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Runs the plan with this in the place of the building of the drive. */
async function run(build: () => Promise<void>): Promise<PlanOutcome> {
  const ports = {
    layout: createLayout(join(directory, 's'), join(directory, 'r')),
    disks: { buildConfigDrive: build },
    vmm: { canRestore: async () => null },
    hooks: {
      ...noHooks,
      step: (at: { readonly undo: boolean }, work: () => Promise<unknown>) => {
        if (at.undo) readWhileUndone ||= isBeingRead();
        return work();
      },
    },
  };
  return await executePlan(plan, ports as unknown as HostPorts, pino({ level: 'silent' }));
}

beforeEach(async () => {
  readWhileUndone = false;
  directory = await mkdtemp(join(tmpdir(), 'mvm-prefetch-'));
  const paths = snapshotPaths(createLayout(join(directory, 's'), '/r').snapshotsDir(address));
  memory = join(paths.committed, 'memory');
  await mkdir(dirname(paths.committed), { recursive: true });
  // Large enough that it is not read to its end before the test has looked.
  const piece = randomBytes(1_048_576);
  async function* image(): AsyncGenerator<Buffer> {
    for (let count = 0; count < 64; count += 1) yield piece;
  }
  async function* saved(): AsyncGenerator<SavedPart> {
    yield { name: 'memory', bytes: image() };
  }
  const parts = await writeParts(paths, saved(), { compression: 'none', key: null });
  await stageManifest(paths, {
    ...{ format: 1, ...address, created_at: '2026-01-01T00:00:00.000Z' },
    ...{ vmm: 'qemu', vmm_version: '7.2.22', accelerator: 'tcg', image_digest: null },
    ...{ driver_state: {}, launch: {} as SnapshotManifest['launch'], parts, disks: [] },
  });
  await commitSnapshot(paths);
});
afterEach(() => rm(directory, { recursive: true, force: true }));

it('goes on while the steps before it are done', async () => {
  expect(await run(untilRead)).toEqual({ status: 'done' });
});

it('stops the plan at its own step when the image is damaged, and takes back what was done before', async () => {
  await truncate(memory, 1_000);
  let built = false;
  const outcome = await run(async () => {
    built = true;
  });
  expect(built).toBe(true);
  expect(outcome).toMatchObject({
    failedStep: { kind: 'snapshot.verify' },
    error: { reason: 'snapshot.damaged' },
    status: 'undone',
  });
});

it('is over before an earlier step that failed is taken back', async () => {
  const outcome = await run(async () => {
    await untilRead();
    throw new Error('no room');
  });
  expect(outcome).toMatchObject({ status: 'undone', failedStep: { kind: 'config_drive.build' } });
  expect(readWhileUndone).toBe(false);
});
