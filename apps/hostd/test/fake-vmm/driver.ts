/**
 * A VMM for tests: a real process per VM (`vmm.ts`) in its own session and cgroup, with its TAP, its disks, its sockets
 * and its own user, that is saved, restored, found again and killed like QEMU, in a hundredth of the time. What it
 * takes for granted of a driver is `test/vmm-contract.ts`, which runs against QEMU too.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, open, readFile, readlink, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Duplex, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { CodedError, isCodedError } from '@mvm/protocol';
import { originMismatch } from '../../src/vmm/origin.js';
import { type BoundLog, noBound } from '../../src/vmm/process/bound-log.js';
import { connectSocket } from '../../src/vmm/process/connect-socket.js';
import { keepDescriptors } from '../../src/vmm/process/keep-descriptors.js';
import { killProcess } from '../../src/vmm/process/kill-process.js';
import { isAlive, readArgv, readHostBootId, readStartTime } from '../../src/vmm/process/process-identity.js';
import { checkSocketPath } from '../../src/vmm/process/socket-path.js';
import type {
  DriverState,
  ResumeOutcome,
  SavedPart,
  SaveOptions,
  VmExit,
  VmHandle,
  Vmm,
  VmRecord,
  VmSpec,
} from '../../src/vmm/vmm.js';

/** Where a driver can be told to misbehave. */
export type VmmCall = 'version' | 'launch' | 'restore' | 'adopt' | 'resume' | 'pause' | 'save';

/**
 * `fail`: the call fails; `die`: the process is killed in the midst of it; `hang`: it never returns; a number: that many
 * ms late. `fail-done` and `hang-done`, of `resume` and `pause`: it has taken effect all the same.
 */
export type Fault = 'fail' | 'die' | 'hang' | 'fail-done' | 'hang-done' | number;

export interface FakeVmmOptions {
  /** A file that gets a line for everything that must not happen twice; see `readExecutionLog`. */
  readonly executionLogPath: string;
  /** How long a guest's agent takes to get ready for a sleep. */
  readonly drainMs?: number;
  /** False: as a VMM that opens no encrypted drive. */
  readonly opensEncryptedDrives?: boolean;
  readonly boundLog?: BoundLog;
  /** Asked at every call, once. */
  readonly faultOf?: (call: VmmCall, vmId: string) => Fault | null;
}

/** The program's name in /proc, so that hostd knows it for a VMM. */
export const FAKE_VMM_NAME = 'qemu-system-standin';
const FAKE_VMM_VERSION = '1.0.0';

/** What `compileFakeVmm` makes; as far from here as from this file's own translation. */
const PROGRAM = fileURLToPath(new URL('../../.test-results/fake-vmm/vmm.js', import.meta.url));
const READY_WITHIN_MS = 30_000;
const LOOK_AGAIN_MS = 4;
const VMSTATE_BYTES = 10_000;
const PARTS = ['vmstate', 'memory'] as const;

export function createFakeVmm(options: FakeVmmOptions): Vmm {
  const context: Context = { options, faultOf: options.faultOf ?? (() => null) };
  return {
    name: 'qemu',
    version: () => version(context),
    capabilities: async () => ({
      accelerator: 'tcg',
      acceleratorReason: 'the fake VMM emulates a guest',
      opensEncryptedDrives: options.opensEncryptedDrives ?? true,
      savedParts: PARTS,
      maxSavedFileBytes: 0,
    }),
    memoryOverheadMib: () => 512,
    isVmmProgram: (name) => name === FAKE_VMM_NAME,
    canRestore: async (origin) => originMismatch(origin, { vmm: 'qemu', vmmVersion: await version(context) }),
    launch: (spec, attach) => start(context, spec, attach, renderArgv(spec, options), null),
    restore: async (spec, attach, saved) => {
      const mismatch = originMismatch(saved.origin, { vmm: 'qemu', vmmVersion: FAKE_VMM_VERSION });
      if (mismatch !== null) throw mismatch;
      const expected = renderArgv(spec, options);
      const before = argvOf(saved)
        .slice(2)
        .filter((argument) => argument !== '--incoming');
      if (before.join('\0') !== expected.join('\0')) {
        throw coded('vmm.devices_changed', `${spec.vmId} was saved with ${before.join(' ')}`);
      }
      return await start(context, spec, attach, [...expected, '--incoming'], joined(saved.parts, spec.vmId));
    },
    adopt: (record) => adopt(context, record),
  };
}

async function version(context: Context): Promise<string> {
  if ((await meet(context, 'version', '', async () => {})) === 'fail') throw coded('vmm.missing', 'told to');
  return FAKE_VMM_VERSION;
}

interface Context {
  readonly options: FakeVmmOptions;
  readonly faultOf: (call: VmmCall, vmId: string) => Fault | null;
}

/** Asks whether a call is to misbehave, and does what can be done here: being late, hanging, killing. */
async function meet(
  { faultOf }: Context,
  call: VmmCall,
  vmId: string,
  kill: () => Promise<void>,
): Promise<Exclude<Fault, 'hang' | number> | null> {
  const fault = faultOf(call, vmId);
  if (fault === 'hang') return await new Promise<never>(() => {});
  if (typeof fault === 'number') await sleep(fault);
  if (fault === 'die') await kill();
  return typeof fault === 'number' ? null : fault;
}

function coded(
  reason: string,
  what: string,
  code: 'internal' | 'failed_precondition' = 'internal',
): CodedError {
  return new CodedError({ code, reason, message: `fake VMM: ${what}` });
}

const controlPath = (spec: Pick<VmSpec, 'socketDir'>): string =>
  checkSocketPath(join(spec.socketDir, 'control.sock'));
const agentPath = (spec: Pick<VmSpec, 'socketDir'>): string =>
  checkSocketPath(join(spec.socketDir, 'agent.sock'));

function argvOf({ driverState }: { readonly driverState: DriverState }): string[] {
  return Array.isArray(driverState.argv) ? driverState.argv.map(String) : [];
}

function renderArgv(spec: VmSpec, { executionLogPath, drainMs }: FakeVmmOptions): string[] {
  const known = ['rootfs', 'config', 'data', 'secrets'];
  const unknown = spec.drives.find(({ id }) => !known.includes(id));
  if (unknown !== undefined) throw new Error(`the fake VMM knows no drive ${unknown.id}`);
  const disk = spec.drives.find(({ readOnly }) => !readOnly);
  return [
    ...['--vm', spec.vmId, '--control', controlPath(spec), '--agent', agentPath(spec)],
    ...['--console', spec.consolePath, '--root', rootOf(spec), '--uid', String(spec.uid)],
    ...['--tap', spec.net.tapName, '--mac', spec.net.mac, '--execution-log', executionLogPath],
    ...['--vcpus', String(spec.vcpus), '--mem', String(spec.memMib)],
    ...(disk === undefined ? [] : ['--disk', disk.path]),
    ...(drainMs === undefined ? [] : ['--drain-ms', String(drainMs)]),
  ];
}

const rootOf = (spec: Pick<VmSpec, 'socketDir'>): string => join(spec.socketDir, 'root');

async function removeSockets(spec: VmSpec): Promise<void> {
  for (const path of [controlPath(spec), agentPath(spec)]) await rm(path, { force: true });
}

async function start(
  context: Context,
  spec: VmSpec,
  attach: (pid: number) => Promise<void>,
  argv: readonly string[],
  image: AsyncIterable<Uint8Array> | null,
): Promise<VmHandle> {
  const reason = image === null ? 'vmm.launch_failed' : 'vmm.restore_failed';
  for (const { path } of spec.drives) await (await open(path, 'r')).close();
  await removeSockets(spec);
  await mkdir(rootOf(spec), { recursive: true, mode: 0o755 });
  const child = await spawnProgram(spec, argv, image !== null);
  const exit = once(child, 'exit').then(
    ([exitCode, signal]: (number | string | null)[]): VmExit => ({
      exitCode: typeof exitCode === 'number' ? exitCode : null,
      signal: typeof signal === 'string' ? signal : null,
    }),
  );
  const pid = child.pid as number;
  const startTimeTicks = await readStartTime(pid);
  let control: Control | null = null;
  let feeding: Promise<unknown> = Promise.resolve(null);
  try {
    if (startTimeTicks === null) throw coded(reason, 'it ended at once');
    await attach(pid);
    const fault = await meet(context, image === null ? 'launch' : 'restore', spec.vmId, async () => {
      process.kill(pid, 'SIGKILL');
      await exit;
    });
    if (fault === 'fail') throw coded(reason, 'told to');
    if (image !== null) feeding = feed(child.stdio[3] as Writable, image);
    control = await connectControl(spec, exit, reason);
    const state = await control.ask('query');
    if (!state.startsWith('state paused ')) throw coded(reason, `it did not wait: ${state}`);
    const unread = await feeding;
    if (unread !== null) throw unread;
    await checkUser(pid, spec);
    const record: VmRecord = {
      vmm: 'qemu',
      vmmVersion: FAKE_VMM_VERSION,
      pid,
      startTimeTicks,
      hostBootId: await readHostBootId(),
      spec,
      driverState: { argv: [FAKE_VMM_NAME, PROGRAM, ...argv] },
    };
    return new FakeVmmHandle(context, record, control, { exit, detach: () => child.unref() });
  } catch (error) {
    control?.close();
    if (startTimeTicks !== null) await killProcess({ pid, startTimeTicks });
    await exit;
    await removeSockets(spec);
    const unread = await feeding;
    if (isCodedError(unread)) throw unread;
    throw isCodedError(error) ? error : coded(reason, String(error));
  }
}

async function spawnProgram(
  spec: VmSpec,
  argv: readonly string[],
  withImage: boolean,
): Promise<ChildProcess> {
  const log = await open(spec.vmmLogPath, 'a', 0o600);
  try {
    keepDescriptors();
    const child = spawn(process.execPath, [PROGRAM, ...argv], {
      argv0: FAKE_VMM_NAME,
      cwd: '/',
      detached: true,
      env: { LC_ALL: 'C' },
      stdio: ['ignore', log.fd, log.fd, ...(withImage ? (['pipe'] as const) : [])],
    });
    await once(child, 'spawn');
    return child;
  } finally {
    await log.close();
  }
}

/** A saved state in two parts, as Firecracker's is in two files. */
async function* inParts(
  state: AsyncGenerator<Uint8Array>,
  { inPlain = false }: SaveOptions = {},
): AsyncGenerator<SavedPart> {
  let rest = new Uint8Array();
  async function* first(): AsyncGenerator<Uint8Array> {
    for (let left = VMSTATE_BYTES; left > 0; ) {
      const { value: piece, done } = await state.next();
      if (done === true) return;
      const head = piece.subarray(0, left);
      rest = Uint8Array.from(piece.subarray(head.length));
      left -= head.length;
      yield head;
    }
  }
  async function* second(): AsyncGenerator<Uint8Array> {
    if (rest.length > 0) yield rest;
    yield* state;
  }
  try {
    yield { name: 'vmstate', bytes: first() };
    yield { name: 'memory', bytes: second(), ...(inPlain ? { isImage: true } : {}) };
  } finally {
    await state.return(undefined);
  }
}

/** The state of which these are the parts. */
function joined(parts: readonly SavedPart[], vmId: string): AsyncIterable<Uint8Array> {
  const names = parts.map(({ name }) => name).join(', ');
  if (names !== PARTS.join(', ')) throw coded('vmm.restore_failed', `${vmId} was saved as ${names}`);
  return (async function* () {
    for (const { bytes } of parts) yield* bytes;
  })();
}

/** Null, or what was wrong with the image. */
async function feed(pipe: Writable, image: AsyncIterable<Uint8Array>): Promise<unknown> {
  pipe.on('error', () => {});
  try {
    for await (const piece of image) {
      if (pipe.destroyed) break;
      await new Promise<void>((resolve) => pipe.write(piece, () => resolve()));
    }
    return null;
  } catch (error) {
    return error;
  } finally {
    pipe.end();
  }
}

async function connectControl(spec: VmSpec, exit: Promise<VmExit>, reason: string): Promise<Control> {
  let ended = false;
  void exit.then(() => {
    ended = true;
  });
  const deadline = performance.now() + READY_WITHIN_MS;
  for (;;) {
    try {
      return await Control.open(controlPath(spec));
    } catch (error) {
      if (ended)
        throw coded(reason, `it ended: ${(await readFile(spec.vmmLogPath, 'utf8')).slice(-300).trim()}`);
      if (performance.now() > deadline) throw coded(reason, `it does not answer: ${String(error)}`);
    }
    await sleep(LOOK_AGAIN_MS);
  }
}

/** The process has become the VM's user, in its empty root; it answers only then. */
async function checkUser(pid: number, { uid, gid, socketDir }: VmSpec): Promise<void> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  const ids = (name: string, id: number): boolean =>
    status.includes(`${name}:\t${Array(4).fill(id).join('\t')}\n`);
  if (!ids('Uid', uid) || !ids('Gid', gid)) throw coded('vmm.not_confined', `pid ${pid} is another user`);
  if ((await readlink(`/proc/${pid}/root`)) !== rootOf({ socketDir })) {
    throw coded('vmm.not_confined', `pid ${pid} has another root`);
  }
}

async function adopt(context: Context, record: VmRecord): Promise<VmHandle | null> {
  if (record.vmm !== 'qemu' || record.hostBootId !== (await readHostBootId())) return null;
  if (!(await isAlive(record))) return null;
  const argv = await readArgv(record.pid);
  if (argv === null || argv.join('\0') !== argvOf(record).join('\0')) return null;
  const fault = await meet(context, 'adopt', record.spec.vmId, () => killProcess(record));
  if (fault === 'fail') throw coded('vmm.command_failed', 'told to');
  try {
    const control = await Control.open(controlPath(record.spec));
    await checkUser(record.pid, record.spec);
    return new FakeVmmHandle(context, record, control, null);
  } catch (error) {
    if (!(await isAlive(record))) return null;
    throw error;
  }
}

/** One control connection: a line is asked, a line is answered, with bytes after it when it says so. */
class Control {
  readonly closed: Promise<void>;
  readonly #socket: Socket;
  #buffer = Buffer.alloc(0);
  #ended = false;
  #wake: () => void = () => {};
  #tail: Promise<unknown> = Promise.resolve();

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on('data', (piece) => {
      this.#buffer = Buffer.concat([this.#buffer, piece]);
      this.#wake();
    });
    this.closed = new Promise((resolve) =>
      socket.once('close', () => {
        this.#ended = true;
        this.#wake();
        resolve();
      }),
    );
  }

  static async open(path: string): Promise<Control> {
    const socket = connect(path);
    await once(socket, 'connect');
    socket.on('error', () => {});
    return new Control(socket);
  }

  /** The answer's line. One request at a time, in order. */
  async ask(line: string): Promise<string> {
    const release = await this.#turn();
    try {
      return await this.#exchange(line);
    } finally {
      release();
    }
  }

  /** The saved state, in the pieces in which it comes. */
  async *save(): AsyncGenerator<Uint8Array> {
    const release = await this.#turn();
    let left = 0;
    try {
      const answer = await this.#exchange('save');
      left = Number(/^state (\d+)$/.exec(answer)?.[1]);
      while (left > 0) {
        const piece = await this.#take(left);
        left -= piece.length;
        yield piece;
      }
    } finally {
      // Whoever gives a save up leaves the connection as it was.
      while (left > 0 && !this.#ended) left -= (await this.#take(left)).length;
      release();
    }
  }

  close(): void {
    this.#socket.destroy();
  }

  async #turn(): Promise<() => void> {
    const before = this.#tail;
    let release: () => void = () => {};
    this.#tail = new Promise<void>((resolve) => {
      release = resolve;
    });
    await before;
    return release;
  }

  async #exchange(line: string): Promise<string> {
    this.#socket.write(`${line}\n`);
    while (!this.#buffer.includes(10)) await this.#more();
    const end = this.#buffer.indexOf(10);
    const answer = (await this.#take(end + 1)).toString('utf8', 0, end);
    if (answer.startsWith('error ')) throw coded('vmm.command_failed', answer);
    return answer;
  }

  async #take(atMost: number): Promise<Buffer> {
    while (this.#buffer.length === 0) await this.#more();
    const piece = this.#buffer.subarray(0, atMost);
    this.#buffer = this.#buffer.subarray(piece.length);
    return piece;
  }

  async #more(): Promise<void> {
    if (this.#ended) throw coded('vmm.connection_lost', 'the control socket was closed');
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }
}

class FakeVmmHandle implements VmHandle {
  readonly record: VmRecord;
  readonly exited: Promise<VmExit>;
  readonly asksGuestForAgent = false;
  readonly #context: Context;
  readonly #control: Control;
  readonly #child: { readonly exit: Promise<VmExit>; detach(): void } | null;
  readonly #bounds: readonly { release(): void }[];
  #detached = false;

  constructor(
    context: Context,
    record: VmRecord,
    control: Control,
    child: { readonly exit: Promise<VmExit>; detach(): void } | null,
  ) {
    this.#context = context;
    this.record = record;
    this.#control = control;
    this.#child = child;
    const { boundLog = noBound } = context.options;
    this.#bounds = [boundLog(record.spec.consolePath), boundLog(record.spec.vmmLogPath)];
    this.exited = child?.exit ?? this.#watch();
  }

  async resume(): Promise<ResumeOutcome> {
    if ((await this.#call('resume')) === 'fail') {
      return { outcome: 'refused', error: coded('vmm.not_resumed', 'told to', 'failed_precondition') };
    }
    return { outcome: 'running' };
  }

  async powerDown(): Promise<void> {
    await this.#ask('power-down');
  }

  async pause(): Promise<void> {
    if ((await this.#call('pause')) === 'fail') throw coded('vmm.command_failed', 'told to');
  }

  save(options?: SaveOptions): AsyncIterable<SavedPart> {
    return inParts(this.#state(), options);
  }

  async *#state(): AsyncGenerator<Uint8Array> {
    const fault = this.#context.faultOf('save', this.record.spec.vmId);
    let pieces = 0;
    try {
      for await (const piece of this.#control.save()) {
        yield piece;
        pieces += 1;
        // Misbehaves in the midst of the stream.
        if (pieces > 1) continue;
        const met = await meet({ ...this.#context, faultOf: () => fault }, 'save', '', () =>
          killProcess(this.record),
        );
        if (met === 'fail') throw coded('vmm.save_failed', 'told to');
        if (met === 'die') throw await this.#gone();
      }
    } catch (error) {
      throw isCodedError(error) && error.reason !== 'vmm.connection_lost' ? error : await this.#gone(error);
    }
  }

  async hasAgent(): Promise<boolean> {
    await this.#ask('query');
    return true;
  }

  async connectAgent(signal: AbortSignal): Promise<Duplex | null> {
    await this.#ask('query');
    return await connectSocket(agentPath(this.record.spec), signal);
  }

  async kill(): Promise<void> {
    await killProcess(this.record);
    if (!this.#detached) await this.exited;
    this.#close();
    await removeSockets(this.record.spec);
  }

  detach(): void {
    this.#detached = true;
    this.#child?.detach();
    this.#close();
  }

  #close(): void {
    this.#control.close();
    for (const bound of this.#bounds) bound.release();
  }

  /** `fail`: it was told to fail, and has not been asked. */
  async #call(call: 'resume' | 'pause'): Promise<'fail' | null> {
    const fault = await meet(this.#context, call, this.record.spec.vmId, () => killProcess(this.record));
    if (fault === 'fail') return 'fail';
    await this.#ask(call);
    if (fault === 'hang-done') await new Promise<never>(() => {});
    if (fault === 'fail-done') throw coded('vmm.command_failed', 'told to');
    return null;
  }

  async #ask(line: string): Promise<string> {
    try {
      return await this.#control.ask(line);
    } catch (error) {
      throw await this.#gone(error);
    }
  }

  async #gone(cause?: unknown): Promise<unknown> {
    if (await isAlive(this.record)) return cause ?? coded('vmm.save_failed', 'it was given up');
    return coded('vmm.gone', `the VM ${this.record.spec.vmId} has ended`, 'failed_precondition');
  }

  async #watch(): Promise<VmExit> {
    await this.#control.closed;
    if (this.#detached) return await new Promise<never>(() => {});
    while (await isAlive(this.record)) await sleep(LOOK_AGAIN_MS);
    return { exitCode: null, signal: null };
  }
}
