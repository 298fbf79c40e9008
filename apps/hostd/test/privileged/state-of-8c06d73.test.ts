import { existsSync } from 'node:fs';
import { chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { HostdClient } from '@mvm/hostd-client';
import { isCodedError } from '@mvm/protocol';
import { createHost, type Host } from '@mvm/testkit/host';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createLayout } from '../../src/state/layout.js';
import { type InProcessHostd, startInProcess } from '../fake-vmm/in-process.js';

// State directories that the build of commit 8c06d73 left when it was killed in the midst of each operation, with QEMU and
// the demo image: `testdata/state-8c06d73/<case>`. Paths begin with @STATE@ or @RUN@. Its VMs ended with that host.

const TESTDATA = fileURLToPath(new URL('../../testdata/state-8c06d73', import.meta.url));
const address = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-a' };

let host: Host;
let hostd: InProcessHostd | null;
let client: HostdClient;

beforeEach(async () => {
  host = await createHost();
  hostd = null;
  client = host.client();
});
afterEach(async () => {
  await client.close();
  await hostd?.close();
  await host.dispose();
});

/** Lays a state directory as that build has left it. */
async function lay(name: string): Promise<void> {
  const root = join(TESTDATA, name);
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const to = join(host.stateDir, relative(root, path));
    const text = await readFile(path, 'utf8');
    await mkdir(dirname(to), { recursive: true, mode: 0o700 });
    await writeFile(to, text.replaceAll('@STATE@', host.stateDir).replaceAll('@RUN@', host.runDir), {
      mode: 0o600,
    });
  }
  await chmod(host.stateDir, 0o700);
}

const ended = { status: 'stopped', stop_reason: { kind: 'lost' } };

test.each([
  // Undone: the instance never ran.
  ['start', { status: 'ready', stop_reason: { kind: 'start_failed' } }],
  // Complete but for its journal; the VM ended with the host.
  ['start-complete', ended],
  ['stop', { status: 'stopped', stop_reason: { kind: 'requested' } }],
  // Undone: it runs on, and has ended since.
  ['sleep', ended],
  ['sleep-committed', { status: 'sleeping' }],
  // Undone: it sleeps on.
  ['wake', { status: 'sleeping' }],
  ['wake-committed', ended],
  ['warm', ended],
  ['warm-complete', ended],
  ['resume', ended],
  ['reap', { status: 'stopped', stop_reason: { kind: 'exited' } }],
] as const)(
  'the %s that 8c06d73 did not end is recovered, and the instance can be destroyed',
  async (name, state) => {
    await lay(name);
    const layout = createLayout(host.stateDir, host.runDir);
    expect(existsSync(layout.journal(address))).toBe(true);
    hostd = await startInProcess(host);
    expect(await client.request({ type: 'DescribeInstance', ...address })).toMatchObject(state);
    expect(existsSync(layout.journal(address))).toBe(false);
    await client.request({ type: 'DestroyInstance', ...address, wipe_volumes: false });
    expect(existsSync(layout.instanceDir(address))).toBe(false);
  },
);

test('the destroy that 8c06d73 did not end is finished', async () => {
  await lay('destroy');
  hostd = await startInProcess(host);
  const found = await client
    .request({ type: 'DescribeInstance', ...address })
    .catch((error: unknown) => error);
  expect(isCodedError(found) && found.reason).toBe('instance.not_found');
  expect(existsSync(createLayout(host.stateDir, host.runDir).instanceDir(address))).toBe(false);
});
