import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createHostdClient, type HostdClient } from '@mvm/hostd-client';
import { addImage, imagesDir } from '@mvm/image-store';
import { testUidBase } from '@mvm/testkit';
import { createHost } from '@mvm/testkit/host';
import { type Cgroups, createCgroups } from '../../src/cgroup/cgroups.js';
import { type HostdConfig, settings } from '../../src/config/settings.js';
import type { FailpointSetting } from '../../src/crash/failpoint.js';
import { buildConfigDrive } from '../../src/disk/config-drive.js';
import { createLayout, type Layout } from '../../src/state/layout.js';
import { createVmProcesses } from '../../src/vmm/process/vm-processes.js';
import { compileFakeVmm } from '../fake-vmm/compile.js';
import type { Fault, VmmCall } from '../fake-vmm/driver.js';
import { FAKE_VMM_NAME } from '../fake-vmm/driver.js';
import type { FromHostd, ToHostd } from '../fake-vmm/hostd.js';

/** The tenant whose snapshots are sealed with a key. */
const SEALED_TENANT = 'globex';
const DRAIN_MS = 40;
/** A busy machine is no mistake of hostd's. */
const PATIENCE_MS = 60_000;
/** How many pieces of hostd's log are kept, at least. */
const CHUNKS_KEPT = 500;

/** A hostd with the fake VMM on this machine's kernel: real files, cgroups, interfaces, processes. */
export interface ModelHost {
  readonly layout: Layout;
  readonly config: HostdConfig;
  readonly cgroups: Cgroups;
  readonly client: HostdClient;
  readonly executionLogPath: string;
  readonly processes: ReturnType<typeof createVmProcesses>;
  /** SIGKILL, wherever it is; resolves when it is gone. */
  kill(): Promise<void>;
  /** Start again after `kill`; it ends itself at the failpoint. */
  start(failpoint?: FailpointSetting): Promise<void>;
  /** The next such call of the VMM misbehaves. */
  arm(call: VmmCall, fault: Fault): Promise<void>;
  /** Forget faults that were not met. */
  disarm(): Promise<void>;
  /** Resolves when the next fault is met. */
  nextFault(): Promise<void>;
  /** Resolves when `count` more steps have begun. */
  nextStep(count: number): Promise<void>;
  /** hostd kills itself when it next reaches this failpoint; resolves when it is gone. */
  strike(point: string): Promise<void>;
  /** The last that hostd logged since its start. */
  logs(): string;
  /** Start anew on an empty host, whatever there was. */
  reset(): Promise<void>;
  dispose(): Promise<void>;
}

interface Child {
  readonly process: ChildProcess;
  readonly exited: Promise<unknown>;
  readonly loaded: Promise<void>;
}

/** Throws in a network namespace that leads anywhere: the machine's own is left alone. */
export async function createModelHost(): Promise<ModelHost> {
  // In memory: hostd is killed here, the power never fails, and thousands of fsyncs would measure the disk.
  const own = await createHost({ prefix: 'mvmm', parent: '/dev/shm' });
  const { dir } = own;
  const program = compileFakeVmm();
  const defaults = Object.fromEntries(
    Object.entries(settings).map(([key, { defaultValue }]) => [key, defaultValue]),
  );
  const config: HostdConfig = {
    ...(defaults as unknown as HostdConfig),
    stateDir: own.stateDir,
    runDir: own.runDir,
    socket: own.socketPath,
    cgroupParent: own.cgroupParent,
    group: 'mvmm-none',
    vmUidBase: testUidBase(),
    tenantKeysDir: join(dir, 'k'),
  };
  const layout = createLayout(config.stateDir, config.runDir);
  const cgroups = await createCgroups({ parent: config.cgroupParent });
  const isVmmProgram = (name: string): boolean => name === FAKE_VMM_NAME;
  const processes = createVmProcesses(layout.vmSocketsDir, config.vmUidBase, isVmmProgram);
  const client = createHostdClient({
    socketPath: config.socket,
    clientName: 'model',
    connectTimeoutMs: PATIENCE_MS,
  });
  const executionLogPath = join(dir, 'execution-log');
  /** Names the point at which hostd kills itself, when there is one. */
  const strikePath = join(dir, 'failpoint');
  const kernelFile = join(dir, 'vmlinux');
  const rootfsFile = join(dir, 'rootfs.ext4');

  let spare: Child | null = null;
  let current: Child | null = null;
  let heard: string[] = [];
  let stepWaits: { left: number; resolve: () => void }[] = [];
  let faultWaits: (() => void)[] = [];
  let armed: (() => void)[] = [];

  function prepare(): Child {
    const child = fork(program, [], { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], cwd: '/', execArgv: [] });
    const exited = once(child, 'exit');
    const loaded = new Promise<void>((resolve, reject) => {
      child.once('message', () => resolve());
      void exited.then(() =>
        reject(new Error(`hostd ended while it was loading: ${child.stderr?.read() ?? ''}`)),
      );
    });
    loaded.catch(() => {});
    return { process: child, exited, loaded };
  }

  function hear(piece: Buffer): void {
    const added = piece.toString('utf8');
    heard.push(added);
    if (heard.length > 2 * CHUNKS_KEPT) heard = heard.slice(-CHUNKS_KEPT);
    let steps = added.split('"msg":"step begins"').length - 1;
    for (; steps > 0; steps -= 1) for (const wait of stepWaits) wait.left -= 1;
    for (const wait of stepWaits.filter(({ left }) => left <= 0)) wait.resolve();
    stepWaits = stepWaits.filter(({ left }) => left > 0);
  }

  const say = (message: ToHostd): void => {
    current?.process.send(message);
  };
  const acknowledged = (message: ToHostd): Promise<void> =>
    new Promise((resolve) => {
      armed.push(resolve);
      say(message);
    });

  async function start(failpoint: FailpointSetting = { file: strikePath }): Promise<void> {
    const child = spare ?? prepare();
    spare = null;
    await child.loaded;
    current = child;
    heard = [];
    child.process.stderr?.on('data', hear);
    child.process.stdout?.on('data', hear);
    await new Promise<void>((resolve, reject) => {
      child.process.on('message', (message: FromHostd) => {
        if (message.type === 'serving') resolve();
        if (message.type === 'failed')
          reject(new Error(`hostd does not start: ${message.message}\n${heard.join('')}`));
        if (message.type === 'met') for (const wait of faultWaits.splice(0)) wait();
        if (message.type === 'armed') for (const wait of armed.splice(0)) wait();
      });
      void child.exited.then(() => reject(new Error(`hostd ended while it was starting\n${heard.join('')}`)));
      say({ type: 'start', config, executionLogPath, failpoint, drainMs: DRAIN_MS });
    });
    spare = prepare();
    // The client may not have noticed yet that the one before is gone; a request that changes something is sent but once.
    await client.request({ type: 'Ping' });
  }

  async function kill(): Promise<void> {
    await rm(strikePath, { force: true });
    const child = current;
    current = null;
    child?.process.kill('SIGKILL');
    await child?.exited;
    stepWaits = [];
    faultWaits = [];
    armed = [];
  }

  async function empty(): Promise<void> {
    await kill();
    for (const { vmId } of await processes.find(null)) await processes.kill(vmId);
    await own.takeDown();
    await rm(config.stateDir, { recursive: true, force: true });
    await rm(config.runDir, { recursive: true, force: true });
  }

  async function furnish(): Promise<void> {
    await mkdir(config.tenantKeysDir, { recursive: true, mode: 0o700 });
    await writeFile(join(config.tenantKeysDir, `${SEALED_TENANT}.key`), `${'5a'.repeat(32)}\n`, {
      mode: 0o600,
    });
    await writeFile(executionLogPath, '');
    // An ELF header and a file system are all that is looked at; nothing boots them.
    await writeFile(kernelFile, Buffer.from('\x7fELF never booted'));
    await buildConfigDrive({ path: rootfsFile, config: {} });
    await mkdir(config.stateDir, { recursive: true, mode: 0o700 });
    await addImage(imagesDir(config.stateDir), {
      name: 'demo',
      kernel: kernelFile,
      rootfs: rootfsFile,
      kernelArgs: '',
    });
  }

  const host: ModelHost = {
    layout,
    config,
    cgroups,
    client,
    executionLogPath,
    processes,
    kill,
    start,
    arm: (call, fault) => acknowledged({ type: 'fault', call, fault }),
    disarm: () => acknowledged({ type: 'forget-faults' }),
    nextFault: () => new Promise((resolve) => faultWaits.push(resolve)),
    nextStep: (count) => new Promise((resolve) => stepWaits.push({ left: count, resolve })),
    strike: async (point) => {
      const child = current;
      writeFileSync(strikePath, point);
      await child?.exited;
    },
    logs: () => heard.join(''),
    reset: async () => {
      await empty();
      await furnish();
      await start();
    },
    dispose: async () => {
      await client.close();
      await empty();
      spare?.process.kill('SIGKILL');
      await spare?.exited;
      await own.dispose();
    },
  };
  await host.reset();
  return host;
}
