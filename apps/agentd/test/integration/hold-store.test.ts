import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { HoldStore } from '../../src/state/hold-store.js';

const HOUR = 3_600_000;
const NOW = Date.parse('2026-11-29T12:00:00Z');
const address = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-a' };

test('the clock set back: a hold lasts as long as it was meant to, before and after a restart', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'mvm-holds-'));
  try {
    const store = await HoldStore.open(dir);
    await store.set(address, 'manual_stop', 900, NOW);
    const back = NOW - 720 * HOUR;
    for (const holds of [store, await HoldStore.open(dir)]) {
      expect(holds.active(back)).toHaveLength(1);
      expect(holds.active(back + 899_000)).toHaveLength(1);
      expect(holds.active(back + 901_000)).toEqual([]);
    }
  } finally {
    // The store makes its reserve anew behind its answer.
    await rm(dir, { recursive: true, maxRetries: 10 });
  }
});

test('what ends a hold, or puts back the one before it, leaves a newer hold alone', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'mvm-holds-'));
  try {
    const store = await HoldStore.open(dir);
    const run = await store.set(address, 'manual_run', 900, NOW);
    const stop = await store.set(address, 'manual_stop', 900, NOW);
    await store.end(run, NOW);
    expect(store.find(address, NOW)).toEqual(stop);
    await store.end(stop, NOW, run);
    expect((await HoldStore.open(dir)).active(NOW)).toEqual([run]);
    await store.end(run, NOW);
    expect((await HoldStore.open(dir)).active(NOW)).toEqual([]);
  } finally {
    await rm(dir, { recursive: true, maxRetries: 10 });
  }
});
