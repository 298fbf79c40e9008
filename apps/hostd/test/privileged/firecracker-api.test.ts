import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from '@mvm/testkit';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { createApi, type FirecrackerApi } from '../../src/vmm/firecracker/api.js';
import { PRE_BOOT } from '../fake-firecracker/exchanges.js';

// The real program without a guest: what it answers needs no KVM.
const SCRIPT = fileURLToPath(new URL('../../../../scripts/firecracker.sh', import.meta.url));

let directory: string;
let child: ChildProcess;
let api: FirecrackerApi;

beforeEach(async () => {
  const programs = execFileSync(SCRIPT, { encoding: 'utf8' }).trim();
  directory = await mkdtemp(join(tmpdir(), 'mvm-fcapi-'));
  for (const [name, bytes] of [
    ['kernel', 'none'],
    ['disk', '\0'.repeat(4096)],
  ] as const)
    await writeFile(join(directory, name), bytes);
  child = spawn(join(programs, 'firecracker'), ['--api-sock', 'api.sock', '--level', 'Error'], {
    cwd: directory,
    stdio: 'ignore',
  });
  api = createApi(join(directory, 'api.sock'));
  await until('an answer', () => api.call({ method: 'GET', path: '/' }).catch(() => null), 20_000);
}, 180_000);
afterEach(async () => {
  const exited = child.exitCode === null && child.signalCode === null ? once(child, 'exit') : null;
  child.kill('SIGKILL');
  await exited;
  await rm(directory, { recursive: true });
});

const statusOf = (request: Parameters<FirecrackerApi['call']>[0]): Promise<number> =>
  api.call(request).then(
    (answer) => (answer === null ? 204 : 200),
    (error: { details: { status: number } }) => error.details.status,
  );

it('the real Firecracker answers what the fake one does before a start', async () => {
  for (const { request, status } of PRE_BOOT)
    expect([request, await statusOf(request)]).toEqual([request, status]);
});

it.each([
  ['foreign', 'something else '.repeat(1000)],
  ['empty', ''],
])('a vmstate that is %s is refused, and its Firecracker ends', async (_what, bytes) => {
  await writeFile(join(directory, 'vmstate'), bytes);
  await writeFile(join(directory, 'memory'), Buffer.alloc(4096));
  const exited = once(child, 'exit');
  const load = {
    method: 'PUT',
    path: '/snapshot/load',
    body: {
      snapshot_path: 'vmstate',
      mem_backend: { backend_type: 'File', backend_path: 'memory' },
      resume_vm: false,
    },
  } as const;
  await expect(api.call(load)).rejects.toMatchObject({
    reason: 'vmm.command_failed',
    message: expect.stringContaining('Load snapshot error'),
  });
  expect(await exited).toEqual([1, null]);
  expect(await readFile(join(directory, 'vmstate'), 'utf8')).toBe(bytes);
});
