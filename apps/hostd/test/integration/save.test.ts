import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '@mvm/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { QmpClient } from '../../src/vmm/qemu/qmp.js';
import { saveQemu } from '../../src/vmm/qemu/save.js';

// QEMU on the other side is not trusted: it may end, refuse, or be another process by now.

const MEM_MIB = 1;
let directory: string;
let emptyRootPath: string;
let peers: Socket[];
let unhandled: unknown[];
const note = (error: unknown): void => {
  unhandled.push(error);
};

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mvm-save-'));
  emptyRootPath = join(directory, 'root');
  await mkdir(emptyRootPath);
  peers = [];
  unhandled = [];
  process.on('unhandledRejection', note);
});
afterEach(async () => {
  process.off('unhandledRejection', note);
  for (const peer of peers) peer.destroy();
  await rm(directory, { recursive: true });
});

/** A connection as QEMU makes one, from inside its root. */
async function dial(): Promise<Socket> {
  const peer = connect(join(emptyRootPath, 'save.sock'));
  peers.push(peer);
  peer.on('error', () => {});
  await new Promise((resolve) => peer.once('connect', resolve));
  return peer;
}

/** A QEMU that does as `migrate` has it, and says that it has completed what it is asked about. */
function qemu(migrate: () => Promise<unknown>): QmpClient {
  const answers: Record<string, () => Promise<unknown>> = {
    'query-status': async () => ({ status: 'paused' }),
    'migrate-set-parameters': async () => ({}),
    migrate,
    'query-migrate': async () => ({ status: 'completed' }),
    migrate_cancel: async () => ({}),
  };
  return {
    version: '7.2.22',
    closed: new Promise(() => {}),
    isClosed: () => false,
    execute: async (command) => {
      const answer = answers[command];
      if (answer === undefined) throw new Error(`unknown command ${command}`);
      return await answer();
    },
    close: () => {},
  };
}

async function save(client: QmpClient): Promise<number> {
  const spec = {
    vmId: 'tn3i5',
    memMib: MEM_MIB,
    socketDir: directory,
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
  };
  let bytes = 0;
  for await (const chunk of saveQemu(spec, client)) bytes += chunk.byteLength;
  return bytes;
}

describe('a save', () => {
  it('is the stream that QEMU sends', async () => {
    const client = qemu(async () => {
      void dial().then((peer) => peer.end(Buffer.alloc(700_000)));
    });
    expect(await save(client)).toBe(700_000);
  });

  it('that QEMU refuses fails with its words, and with nothing behind it', async () => {
    const refusal = new CodedError({ code: 'internal', reason: 'vmm.command_failed', message: 'no' });
    await expect(save(qemu(() => Promise.reject(refusal)))).rejects.toBe(refusal);
    // Longer than the wait for QEMU to connect.
    await sleep(10_500);
    expect(unhandled).toEqual([]);
  }, 20_000);

  it('ends although a QEMU that an attacker broke out of keeps more connections open', async () => {
    const client = qemu(async () => {
      void dial().then(async (peer) => {
        await dial();
        await dial();
        peer.end(Buffer.alloc(1000));
      });
    });
    expect(await save(client)).toBe(1000);
  }, 10_000);

  it('that never ends is cut: the disk belongs to all tenants', async () => {
    const client = qemu(async () => {
      void dial().then(async (peer) => {
        const piece = Buffer.alloc(1_048_576);
        for (let sent = 0; sent < 1024 && !peer.destroyed; sent += 1) {
          await new Promise((resolve) => peer.write(piece, resolve));
        }
        peer.end();
      });
    });
    await expect(save(client)).rejects.toMatchObject({
      reason: 'vmm.save_failed',
      message: expect.stringContaining('more than'),
    });
  }, 30_000);
});
