import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { HoldStore } from '../../src/state/hold-store.js';

const HOUR = 3_600_000;
const NOW = Date.parse('2026-11-29T12:00:00Z');
const address = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-a' };

test.each([
  ['back', -720 * HOUR],
  ['forward', 720 * HOUR],
])('the clock set %s within a boot: a hold lasts as long as it was meant to', async (_, jumpMs) => {
  const dir = await mkdtemp(join(tmpdir(), 'mvm-holds-'));
  let offset = { boot_id: 'first', offset_ms: 1_000_000 };
  try {
    const store = await HoldStore.open(dir, () => offset);
    await store.set(address, 'manual_stop', 900, NOW);
    offset = { ...offset, offset_ms: offset.offset_ms + jumpMs };
    const now = NOW + jumpMs;
    for (const holds of [store, await HoldStore.open(dir, () => offset)]) {
      expect(holds.active(now + 899_000)).toMatchObject([
        { since: new Date(now).toISOString(), until: new Date(now + 900_000).toISOString() },
      ]);
      expect(holds.active(now + 901_000)).toEqual([]);
    }
    // Written by the clock as it is set now, and set back to what it was.
    await store.set({ ...address, instance_id: 'i-b' }, 'manual_stop', 900, now);
    offset = { ...offset, offset_ms: offset.offset_ms - jumpMs };
    expect((await HoldStore.open(dir, () => offset)).active(NOW + 899_000)).toHaveLength(2);
  } finally {
    await rm(dir, { recursive: true, maxRetries: 10 });
  }
});

test('the clock set forward between two boots: a hold is as its file says', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'mvm-holds-'));
  try {
    const store = await HoldStore.open(dir, () => ({ boot_id: 'first', offset_ms: 0 }));
    await store.set(address, 'manual_stop', 900, NOW);
    const again = await HoldStore.open(dir, () => ({ boot_id: 'second', offset_ms: 50_000 }));
    expect(again.active(NOW + 899_000)).toHaveLength(1);
    expect(again.active(NOW + 901_000)).toEqual([]);
  } finally {
    await rm(dir, { recursive: true, maxRetries: 10 });
  }
});

test('the clock set back between two boots: a hold lasts as long as it was meant to', async () => {
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
