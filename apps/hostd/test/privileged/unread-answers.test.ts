import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { clientFrameCodec } from '@mvm/protocol';
import { createHost, type Host } from '@mvm/testkit/host';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ensureTenantAndPool } from '../tenants.js';

const CONNECTIONS = 150;
const REQUESTS = 64;
const MIB = 1_048_576;
let host: Host;
const sockets: Socket[] = [];

beforeEach(async () => {
  host = await createHost();
});
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await host.dispose();
});

function rssBytes(pid: number): number {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]) * 1024;
}

function frame(body: Uint8Array): Buffer {
  const header = Buffer.alloc(4);
  header.writeUInt32BE(body.length);
  return Buffer.concat([header, body]);
}

/** A connection that asks for the log 64 times, and reads nothing that is answered. */
async function askAndNeverRead(request: {
  tenant_id: string;
  pool_id: string;
  instance_id: string;
}): Promise<void> {
  const socket = connect(host.socketPath);
  sockets.push(socket);
  socket.on('error', () => {});
  socket.pause();
  await once(socket, 'connect');
  const frames = [clientFrameCodec.encode({ type: 'Hello', versions: [2], client: 'test' })];
  for (let id = 1; id <= REQUESTS; id += 1) {
    const asked = { type: 'InstanceLogs', ...request, stream: 'console', max_bytes: 262_144 } as const;
    frames.push(clientFrameCodec.encode({ type: 'request', id, request: asked }));
  }
  socket.write(Buffer.concat(frames.map(frame)));
}

test('finding 16: answers that are not read take no more than 64 MiB, over all connections of a user', async () => {
  const daemon = await host.start();
  const client = host.client();
  await ensureTenantAndPool(client, 'acme', 3);
  const address = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-a' };
  await client.request({ type: 'CreateInstance', ...address });
  const runtime = join(host.stateDir, 'tenants/acme/pools/workers/instances/i-a/runtime');
  await mkdir(runtime, { recursive: true });
  await writeFile(join(runtime, 'console.log'), Buffer.alloc(MIB, 'console '));
  // What one such answer costs for good is no leak.
  for (let count = 0; count < 20; count += 1)
    await client.request({ type: 'InstanceLogs', ...address, stream: 'console', max_bytes: 262_144 });
  const before = rssBytes(daemon.pid);
  let most = before;
  await Promise.all(Array.from({ length: CONNECTIONS }, () => askAndNeverRead(address)));
  for (let looks = 0; looks < 40; looks += 1) {
    await sleep(100);
    most = Math.max(most, rssBytes(daemon.pid));
  }
  process.stdout.write(
    `${CONNECTIONS} × ${REQUESTS} unread logs: ${Math.round(before / MIB)} MiB before, ${Math.round(most / MIB)} MiB at most\n`,
  );
  expect(most - before).toBeLessThan(64 * MIB);
  // An operation of the same user is carried out meanwhile.
  await client.request({ type: 'DestroyInstance', ...address, wipe_volumes: false });
});
