import { readdirSync } from 'node:fs';
import { setImmediate } from 'node:timers/promises';
import { execa } from 'execa';
import { expect, test, vi } from 'vitest';
import { findSharedNamespace, inOwnNamespaces, WITHOUT_NETWORK } from '../../src/vmm/process/namespaces.js';
import { requireTap } from '../../src/vmm/require-tap.js';

// The main thread leaves the host's namespaces while it starts a VMM. What else hostd reads meanwhile is the host's.

const openSync = vi.hoisted(() => vi.fn());
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  return { ...fs, openSync: openSync.mockImplementation(fs.openSync) };
});

/** Other threads get their turn meanwhile. */
function spendTime(): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 2);
}

test('what is read while VMMs are started is of the host', async () => {
  await execa('ip', ['link', 'add', 'tn9i9', 'type', 'bridge']);
  let isOver = false;
  const starts = async (): Promise<void> => {
    while (!isOver) {
      inOwnNamespaces(WITHOUT_NETWORK, spendTime);
      await setImmediate();
    }
  };
  const reads = async (): Promise<void> => {
    for (let count = 0; count < 50; count += 1) {
      await requireTap({ vmId: 'tn9i9', net: { tapName: 'tn9i9', mac: '02:00:00:00:00:01' } });
      expect(await findSharedNamespace(process.ppid, WITHOUT_NETWORK)).not.toBeNull();
    }
  };
  const started = starts();
  await reads().finally(() => {
    isOver = true;
  });
  await started;
  await expect(
    requireTap({ vmId: 'tn9i8', net: { tapName: 'tn9i8', mac: '02:00:00:00:00:01' } }),
  ).rejects.toMatchObject({ reason: 'vmm.tap_missing' });
});

test('a namespace that cannot be opened leaves no descriptor open', () => {
  const descriptors = (): number => readdirSync('/proc/self/fd').length;
  const before = descriptors();
  openSync.mockImplementationOnce(openSync.getMockImplementation() as never);
  openSync.mockImplementationOnce(() => {
    throw Object.assign(new Error('EMFILE'), { code: 'EMFILE' });
  });
  const spawn = vi.fn();
  expect(() => inOwnNamespaces(WITHOUT_NETWORK, spawn)).toThrow('EMFILE');
  expect(spawn).not.toHaveBeenCalled();
  expect(descriptors()).toBe(before);
});
