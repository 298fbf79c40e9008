import { once } from 'node:events';
import { lchown, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError } from '@mvm/protocol';
import { z } from 'zod';
import { checkSocketPath } from '../process/socket-path.js';
import type { VmSpec } from '../vmm.js';
import { vmmRoot } from './argv.js';
import type { QmpClient } from './qmp.js';
import { parseQmpReturn } from './qmp-message.js';
import { runState } from './restore.js';

/** The only part of a saved QEMU: its migration stream. */
export const MEMORY_PART = 'memory';
const SOCKET_NAME = 'save.sock';
const CONNECT_WITHIN_MS = 10_000;
const LOOK_AGAIN_MS = 5;
const SETTLE_WITHIN_MS = 30_000;
const STALLED_AFTER_MS = 60_000;
/** Bytes per second: as fast as it goes; QEMU's default would throttle to a network's speed. */
const MAX_BANDWIDTH = 64 * 2 ** 30;
/** A paused guest's pages are sent once each; what is sent besides takes a few MiB. */
const maxBytes = ({ memMib }: Pick<VmSpec, 'memMib'>): number => (2 * memMib + 64) * 2 ** 20;

/**
 * The state of a paused QEMU as a stream. QEMU, in its empty root, connects to a socket that stands there for as long
 * as the stream lasts, and that only root and this VM's user can reach. QEMU is not trusted: it gets one connection, and
 * sends no more than a VM of its size has. Errors: `internal`, reason `vmm.save_failed`. Source: QEMU 7.2,
 * docs/devel/migration.rst.
 */
export async function* saveQemu(
  spec: Pick<VmSpec, 'vmId' | 'memMib' | 'socketDir' | 'uid' | 'gid'>,
  qmp: QmpClient,
): AsyncGenerator<Uint8Array> {
  const path = checkSocketPath(join(vmmRoot(spec), SOCKET_NAME));
  await rm(path, { force: true });
  const server = createServer({ allowHalfOpen: true });
  const givenUp = new AbortController();
  let socket: Socket | null = null;
  let complete = false;
  server.on('connection', (peer) => {
    peer.on('error', () => {});
    // The server does not close before its last connection has.
    if (socket !== null || givenUp.signal.aborted) peer.destroy();
    else socket = peer;
  });
  try {
    server.listen(path);
    await once(server, 'listening');
    // PRIVILEGE: the VMM's user alone (and root) must be able to connect: the directory is closed to others.
    await lchown(path, spec.uid, spec.gid);
    await clearPostmigrate(qmp);
    await qmp.execute('migrate-set-parameters', { 'max-bandwidth': MAX_BANDWIDTH });
    const connected = firstConnection(server, spec.vmId, givenUp.signal);
    // When QEMU refuses, its connection does not come.
    connected.catch(() => {});
    await qmp.execute('migrate', { uri: `unix:/${SOCKET_NAME}` });
    const stream = await connected;
    // A QEMU that stops sending must not hold the instance for ever.
    stream.setTimeout(STALLED_AFTER_MS, () =>
      stream.destroy(saveFailed(spec.vmId, 'QEMU sends nothing any more')),
    );
    let left = maxBytes(spec);
    for await (const chunk of stream as AsyncIterable<Uint8Array>) {
      left -= chunk.byteLength;
      if (left < 0) throw saveFailed(spec.vmId, `QEMU sends more than a VM of ${spec.memMib} MiB has`);
      yield chunk;
    }
    // The end of the stream says nothing of its success.
    const end = await settled(qmp);
    if (end !== 'completed') throw saveFailed(spec.vmId, `QEMU says: ${end}`);
    complete = true;
  } finally {
    givenUp.abort();
    (socket as Socket | null)?.destroy();
    await new Promise((resolve) => server.close(resolve));
    await rm(path, { force: true });
    if (!complete) await giveUp(qmp);
  }
}

/** Remove the socket of a save whose hostd was killed; nothing when there is none. No save may be under way. */
export async function removeSaveSocket(spec: Pick<VmSpec, 'socketDir'>): Promise<void> {
  await rm(join(vmmRoot(spec), SOCKET_NAME), { force: true });
}

/**
 * A QEMU that was saved before and stayed paused takes itself for migrated away, and refuses to be saved again; only
 * running for a moment ends that. Nothing relies on the earlier state: it was never committed.
 */
export async function clearPostmigrate(qmp: QmpClient): Promise<void> {
  if ((await runState(qmp)) !== 'postmigrate') return;
  await qmp.execute('cont');
  await qmp.execute('stop');
}

async function firstConnection(server: Server, vmId: string, givenUp: AbortSignal): Promise<Socket> {
  const signal = AbortSignal.any([AbortSignal.timeout(CONNECT_WITHIN_MS), givenUp]);
  try {
    const [socket] = (await once(server, 'connection', { signal })) as [Socket];
    return socket;
  } catch (error) {
    throw saveFailed(vmId, 'QEMU did not connect', error);
  }
}

const migrationSchema = z.object({
  status: z.string().max(64).optional(),
  'error-desc': z.string().catch('').optional(),
});

/** How a migration ended: `completed`, or what QEMU says of its failure. */
async function settled(qmp: QmpClient): Promise<string> {
  const deadline = performance.now() + SETTLE_WITHIN_MS;
  for (;;) {
    const answer = await qmp.execute('query-migrate');
    const { status, 'error-desc': why } = parseQmpReturn(migrationSchema, answer, 'query-migrate');
    if (status === 'completed' || status === 'cancelled') return status;
    if (status === 'failed') return why === undefined || why === '' ? status : why.slice(0, 500);
    if (performance.now() > deadline) return 'nothing';
    await sleep(LOOK_AGAIN_MS);
  }
}

/** After a save that was given up: QEMU must have closed it before the guest may go on. */
async function giveUp(qmp: QmpClient): Promise<void> {
  try {
    await qmp.execute('migrate_cancel');
    await settled(qmp);
  } catch {
    // QEMU is gone; whoever asks it next hears that.
  }
}

/** The error for a QEMU whose state could not be saved. */
export function saveFailed(vmId: string, why: string, cause?: unknown): CodedError {
  return new CodedError({
    code: 'internal',
    reason: 'vmm.save_failed',
    message: `the state of the VM ${vmId} could not be saved: ${why}`,
    details: { vm_id: vmId },
    cause,
  });
}
