import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createJournal, type Journal } from '../../src/execute/journal.js';
import type { Plan } from '../../src/execute/step.js';
import { createLayout } from '../../src/state/layout.js';

const address = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-1' };
const plan: Plan = {
  operation: 'stop',
  address,
  onFailure: 'finish',
  steps: [
    { kind: 'vm.kill', address, vmId: 'tn3i3' },
    { kind: 'snapshot.discard', address },
  ],
};

let dir: string;
let path: string;
let journal: Journal;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'mvm-journal-'));
  const layout = createLayout(dir, join(dir, 'run'));
  await mkdir(layout.instanceDir(address), { recursive: true });
  path = layout.journal(address);
  journal = createJournal(layout, (kind) => kind.includes('.'));
});
afterEach(() => rm(dir, { recursive: true }));

test('a plan is read as it was written, with how far it came', async () => {
  expect(await journal.read(address)).toBeNull();
  await journal.begin('op-1', plan);
  expect(await journal.read(address)).toEqual({ opId: 'op-1', plan, completed: 0 });
  await journal.progress('op-1', plan, 1);
  await journal.progress('op-1', plan, 2);
  expect(await journal.read(address)).toEqual({ opId: 'op-1', plan, completed: 2 });
  // The next plan takes the place of this one.
  await journal.begin('op-2', { ...plan, operation: 'reap' });
  expect(await journal.read(address)).toMatchObject({
    opId: 'op-2',
    plan: { operation: 'reap' },
    completed: 0,
  });
  await journal.end(address);
  await journal.end(address);
  expect(await readdir(join(path, '..'))).toEqual([]);
});

test('whatever a loss of power makes of the progress, the plan is there', async () => {
  await journal.begin('op-1', plan);
  const { length } = await readFile(path, 'utf8');
  await journal.progress('op-1', plan, 1);
  const whole = await readFile(path, 'utf8');
  for (let cut = length; cut <= whole.length; cut += 1) {
    await writeFile(path, whole);
    await truncate(path, cut);
    expect((await journal.read(address))?.plan).toEqual(plan);
  }
  await appendFile(path, Buffer.alloc(4096));
  expect(await journal.read(address)).toEqual({ opId: 'op-1', plan, completed: 1 });
});

test('progress never makes a journal that is not there', async () => {
  await expect(journal.progress('op-1', plan, 1)).rejects.toMatchObject({ reason: 'state.io_error' });
  expect(await journal.read(address)).toBeNull();
});

test('a journal without a plan is damaged, and says so', async () => {
  await writeFile(path, Buffer.alloc(512));
  await expect(journal.read(address)).rejects.toMatchObject({ reason: 'state.damaged_record' });
});
