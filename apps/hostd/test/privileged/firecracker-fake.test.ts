import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createApi } from '../../src/vmm/firecracker/api.js';
import { createFirecrackerHandle } from '../../src/vmm/firecracker/handle.js';
import { readyVersion } from '../../src/vmm/firecracker/launch.js';
import { noBound } from '../../src/vmm/process/bound-log.js';
import { launchError } from '../../src/vmm/process/launch-error.js';
import { watchLaunched } from '../../src/vmm/process/launched.js';
import { isAlive, readHostBootId, readStartTime } from '../../src/vmm/process/process-identity.js';
import type { VmHandle } from '../../src/vmm/vmm.js';
import { type FakeApi, type Fault, startFakeApi } from '../fake-firecracker/api.js';
import { PRE_BOOT, RUNNING } from '../fake-firecracker/exchanges.js';

let directory: string;
let path: string;
let fake: FakeApi;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'mvm-fake-'));
  path = join(directory, 'run', 'api.sock');
  await mkdir(join(directory, 'run'));
  fake = await startFakeApi(path);
});
afterEach(async () => {
  await fake.close();
  await rm(directory, { recursive: true });
});

describe('the fake Firecracker answers what the real one does', () => {
  it.each(['before the start', 'while it runs'])('%s', async (when) => {
    const api = createApi(path);
    if (when === 'while it runs') fake.state = 'Running';
    for (const { request, status } of when === 'while it runs' ? RUNNING : PRE_BOOT) {
      const found = await api.call(request).then(
        (answer) => (answer === null ? 204 : 200),
        (error: { details: { status: number } }) => error.details.status,
      );
      expect([request, found]).toEqual([request, status]);
    }
  });
});

describe('a Firecracker that does not become ready', () => {
  const fail = async (what: string, cause?: unknown) =>
    launchError({ vmId: 'tn3i5', what, words: '', reason: 'vmm.launch_failed', cause });
  const ready = async (program: readonly [string, ...string[]], withinMs?: number): Promise<string> => {
    const [name, ...args] = program;
    const child = spawn(name, args, { stdio: 'ignore' });
    const launched = await watchLaunched(child, 'Firecracker', withinMs);
    try {
      return await readyVersion(createApi(path), launched, fail);
    } catch (error) {
      throw await launched.endAfter(error, fail);
    } finally {
      child.kill('SIGKILL');
      await launched.exit;
    }
  };

  it.each<Fault>(['never', 'closed', 'cut', 'no-json', 'other-json'])('%s', async (fault) => {
    fake.faultOf = () => fault;
    await expect(ready(['sleep', '1000'], 200)).rejects.toMatchObject({
      reason: 'vmm.launch_failed',
      message: expect.stringContaining('it is not ready after 0.2 s'),
    });
  });

  it('is waited for when it is late', async () => {
    let asked = 0;
    fake.faultOf = () => (asked++ === 0 ? 'closed' : 'late');
    expect(await ready(['sleep', '1000'])).toBe('1.12.1');
  });

  it('is not waited for when it has ended', async () => {
    fake.faultOf = () => 'closed';
    await expect(ready(['false'])).rejects.toThrow('Firecracker ended with exit code 1');
  });
});

/** A process in the directory as its root, in place of a Firecracker: what hostd reaches through it is there. */
describe('a VM whose Firecracker answers what it should not', () => {
  let process_: ChildProcess;
  let handle: VmHandle;

  beforeEach(async () => {
    await mkdir(join(directory, 'state'));
    await copyFile('/bin/busybox', join(directory, 'busybox'));
    process_ = spawn('chroot', [directory, '/busybox', 'sleep', '1000'], { stdio: 'ignore' });
    const pid = process_.pid as number;
    await once(process_, 'spawn');
    const spec = {
      ...{ vmId: 'tn3i5', uid: 0, gid: 0, memMib: 1, socketDir: '/run', drives: [] },
      ...{ consolePath: join(directory, 'console'), vmmLogPath: join(directory, 'log') },
    };
    handle = createFirecrackerHandle({
      record: {
        ...{
          vmm: 'firecracker',
          vmmVersion: '1.12.1',
          pid,
          driverState: {},
          hostBootId: await readHostBootId(),
        },
        startTimeTicks: (await readStartTime(pid)) ?? '',
        spec: spec as unknown as VmHandle['record']['spec'],
      },
      child: null,
      boundLog: noBound,
    });
    await writeFile(join(directory, 'console'), '');
  });
  afterEach(async () => {
    handle.detach();
    const exited = process_.exitCode === null && process_.signalCode === null ? once(process_, 'exit') : null;
    process_.kill('SIGKILL');
    await exited;
  });

  it('is left as it was when it refuses to start', async () => {
    expect(await handle.resume()).toMatchObject({
      outcome: 'refused',
      error: { reason: 'vmm.not_resumed', message: expect.stringContaining('without kernel configuration') },
    });
    expect(fake.state).toBe('Not started');
    expect(await isAlive(handle.record)).toBe(true);
  });

  it('is ended when it starts without its filter', async () => {
    await createApi(path).call({
      method: 'PUT',
      path: '/boot-source',
      body: { kernel_image_path: '/kernel' },
    });
    await expect(handle.resume()).rejects.toMatchObject({ reason: 'vmm.not_confined' });
    expect(await isAlive(handle.record)).toBe(false);
  });

  it.each<[Fault, string]>([
    ['closed', 'vmm.connection_lost'],
    ['cut', 'vmm.connection_lost'],
    ['no-json', 'vmm.bad_answer'],
    ['other-json', 'vmm.bad_answer'],
  ])('is not judged by a state that it does not tell (%s)', async (fault, reason) => {
    fake.state = 'Running';
    fake.faultOf = () => fault;
    await expect(handle.pause()).rejects.toMatchObject({ reason });
    fake.faultOf = () => null;
    await handle.pause();
    expect(fake.state).toBe('Paused');
  });

  it('is paused when it only answers late', async () => {
    fake.state = 'Running';
    fake.faultOf = () => 'late';
    await handle.pause();
    expect(fake.state).toBe('Paused');
  });

  it('leaves no file of a snapshot that failed, and stays paused', async () => {
    fake.state = 'Paused';
    fake.faultOf = (request) => (request === 'PUT /snapshot/create' ? 'closed' : null);
    const save = async (): Promise<void> => {
      for await (const { bytes } of handle.save()) for await (const _ of bytes);
    };
    await expect(save()).rejects.toMatchObject({ reason: 'vmm.save_failed' });
    expect(await readdir(join(directory, 'state'))).toEqual([]);
    expect(fake.state).toBe('Paused');
    fake.faultOf = () => null;
    await save();
    expect(await readdir(join(directory, 'state'))).toEqual([]);
  });

  it('does not save what runs', async () => {
    fake.state = 'Running';
    await expect(handle.save()[Symbol.asyncIterator]().next()).rejects.toMatchObject({
      reason: 'vmm.save_failed',
    });
  });

  it('has ended, whatever its socket still answers', async () => {
    const exited = once(process_, 'exit');
    process_.kill('SIGKILL');
    await exited;
    await expect(handle.resume()).rejects.toMatchObject({ reason: 'vmm.gone' });
    await expect(handle.pause()).rejects.toMatchObject({ reason: 'vmm.gone' });
    // Its socket closes with it.
    await fake.close();
    expect(await handle.exited).toEqual({ exitCode: null, signal: null });
    fake = await startFakeApi(join(directory, 'run', 'next.sock'));
  });
});
