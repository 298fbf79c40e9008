/**
 * What a script does that puts a guest to sleep and wakes it without hostd: the same QEMU command line, memory, drives,
 * uid, cgroup limits and agent; no journal, no manifest, no checksum, no record.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { chown, copyFile, mkdir, open, rm } from 'node:fs/promises';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cgroups } from '../src/cgroup/cgroups.js';
import { createAgentChannel } from '../src/guest-agent/agent-channel.js';
import { connectSocket } from '../src/vmm/process/connect-socket.js';
import { agentSocketPath, qmpSocketPath, vmmRoot } from '../src/vmm/qemu/argv.js';
import { connectQmp, type QmpClient } from '../src/vmm/qemu/qmp.js';
import type { VmRecord, VmSpec } from '../src/vmm/vmm.js';
import { argvOf } from '../test/driver-contract/qemu-argv.js';
import { warmMemory } from './warm-memory.js';

const LOOK_AGAIN_MS = 5;

export interface HandVm {
  readonly consolePath: string;
  /** Boot it, and let it run. */
  boot(): Promise<void>;
  /** Pause, save into a file, make file and disk durable, end QEMU. Milliseconds. */
  sleep(warmMib?: number): Promise<number>;
  /** Restore from the file, let it run, tell the agent. Milliseconds until it runs, and until the agent was told. */
  wake(warmMib?: number): Promise<{ readonly runsMs: number; readonly toldMs: number }>;
  /** Bytes of the saved state. */
  savedBytes(): Promise<number>;
  end(): Promise<void>;
}

/** A second VM like the one in `record`, with drives, sockets, a TAP and a cgroup of its own below `dir`. */
export async function createBaselineVm(
  record: VmRecord,
  { dir, cgroups }: { readonly dir: string; readonly cgroups: Cgroups },
): Promise<HandVm> {
  const vmId = 'baseline';
  // Not a name of ours, which hostd would take away.
  const tap = 'hand0';
  const { spec: like } = record;
  const memory = join(dir, 'memory');
  const path = (name: string): string => join(dir, name);
  const spec: VmSpec = {
    ...like,
    vmId,
    net: { tapName: tap, mac: '02:fc:00:09:00:09' },
    drives: like.drives.map((drive) =>
      drive.id === 'rootfs' ? drive : { ...drive, path: path(`${drive.id}.ext4`) },
    ),
    socketDir: path('run'),
    consolePath: path('console.log'),
    vmmLogPath: path('vmm.log'),
  };
  await mkdir(vmmRoot(spec), { recursive: true });
  await chown(vmmRoot(spec), spec.uid, spec.gid);
  for (const drive of like.drives.filter(({ id }) => id !== 'rootfs')) {
    await copyFile(drive.path, path(`${drive.id}.ext4`));
  }
  execFileSync('ip', ['tuntap', 'add', 'dev', tap, 'mode', 'tap', 'user', String(spec.uid)]);
  execFileSync('ip', ['link', 'set', tap, 'up']);
  // The very arguments of hostd's, with this VM's names in them.
  const rename = (argument: string): string =>
    [
      [like.socketDir, spec.socketDir],
      [like.consolePath, spec.consolePath],
      // hostd hands the TAP over as a descriptor, which a script does not.
      ['tap,id=net0,fd=5,', `tap,id=net0,ifname=${tap},script=no,downscript=no,`],
      [like.net.mac, spec.net.mac],
      ...like.drives.map((drive, index) => [drive.path, spec.drives[index]?.path ?? '']),
    ].reduce((text, [from = '', to = '']) => text.replaceAll(from, to), argument);
  const [program = '', ...args] = argvOf(record).map(rename);
  let child: ChildProcess | null = null;
  let qmp: QmpClient | null = null;

  async function launch(extra: readonly string[], withPipe: boolean): Promise<ChildProcess> {
    await rm(qmpSocketPath(spec), { force: true });
    await rm(agentSocketPath(spec), { force: true });
    const started = spawn(program, [...args, ...extra], {
      stdio: ['ignore', 'ignore', 'inherit', ...(withPipe ? (['pipe'] as const) : [])],
    });
    child = started;
    await cgroups.attach(vmId, started.pid as number);
    return started;
  }

  async function connected(): Promise<QmpClient> {
    for (;;) {
      try {
        qmp = await connectQmp({ path: qmpSocketPath(spec), timeoutMs: 30_000 });
        return qmp;
      } catch (error) {
        if (child?.exitCode !== null) throw error;
        await sleep(LOOK_AGAIN_MS);
      }
    }
  }

  async function kill(): Promise<void> {
    qmp?.close();
    if (child === null || child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
  }

  return {
    consolePath: spec.consolePath,
    boot: async () => {
      await launch([], false);
      await (await connected()).execute('cont');
    },
    sleep: async (warmMib) => {
      const control = qmp as QmpClient;
      warmMemory(warmMib);
      const began = performance.now();
      await control.execute('stop');
      const server = createServer({ allowHalfOpen: true });
      const socketPath = join(vmmRoot(spec), 'save.sock');
      server.listen(socketPath);
      await once(server, 'listening');
      await chown(socketPath, spec.uid, spec.gid);
      await control.execute('migrate-set-parameters', { 'max-bandwidth': 64 * 2 ** 30 });
      const connection = once(server, 'connection') as Promise<[Socket]>;
      await control.execute('migrate', { uri: 'unix:/save.sock' });
      const [socket] = await connection;
      await pipeline(socket, createWriteStream(memory, { mode: 0o600 }));
      for (const file of [memory, path('data.ext4')]) {
        const handle = await open(file, 'r+');
        await handle.sync();
        await handle.close();
      }
      server.close();
      await rm(socketPath, { force: true });
      await kill();
      return performance.now() - began;
    },
    wake: async (warmMib) => {
      warmMemory(warmMib);
      const began = performance.now();
      const started = await launch(['-incoming', 'fd:3'], true);
      const fed = pipeline(
        createReadStream(memory, { highWaterMark: 1 << 20 }),
        started.stdio[3] as Writable,
      );
      // QEMU closes the pipe as soon as it has all that it needs.
      fed.catch(() => {});
      const control = await connected();
      for (;;) {
        const answer = (await control.execute('query-status')) as { status?: unknown };
        if (answer.status === 'paused') break;
        if (answer.status !== 'inmigrate') throw new Error(`QEMU says ${String(answer.status)}`);
        await sleep(LOOK_AGAIN_MS);
      }
      await control.execute('cont');
      const runsMs = performance.now() - began;
      const resync = {
        type: 'Resync',
        unix_time_ms: Date.now(),
        entropy_base64: randomBytes(64).toString('base64'),
      } as const;
      const agent = createAgentChannel((signal) => connectSocket(agentSocketPath(spec), signal));
      for (const request of [resync, { type: 'Wake' } as const])
        await agent.ask(request, { timeoutMs: 5000 });
      agent.close();
      return { runsMs, toldMs: performance.now() - began };
    },
    savedBytes: async () => {
      const handle = await open(memory, 'r');
      const { size } = await handle.stat();
      await handle.close();
      return size;
    },
    end: async () => {
      await kill();
      execFileSync('ip', ['link', 'del', tap]);
    },
  };
}
