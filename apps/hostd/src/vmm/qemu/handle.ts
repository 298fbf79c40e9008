/**
 * A live QEMU, launched by us or adopted.
 *
 * INVARIANTS
 * - No signal is sent to a pid whose start time is not the recorded one.
 * - `exited` settles once; after `detach` it may stay pending, and nothing of ours keeps looking.
 */
import { rm } from 'node:fs/promises';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError, isCodedError } from '@mvm/protocol';
import { z } from 'zod';
import type { BoundLog } from '../process/bound-log.js';
import { connectSocket } from '../process/connect-socket.js';
import { killProcess } from '../process/kill-process.js';
import { isAlive } from '../process/process-identity.js';
import type { ResumeOutcome, SavedPart, SaveOptions, VmExit, VmHandle, VmRecord } from '../vmm.js';
import { agentSocketPath, qmpSocketPath } from './argv.js';
import { connectQmp, type QmpClient } from './qmp.js';
import { parseQmpReturn } from './qmp-message.js';
import { runState } from './restore.js';
import { MEMORY_PART, saveQemu } from './save.js';
import { DEVICES_PART, FIRMWARE_PART, saveDevices, saveFirmware, saveMemory } from './save-image.js';

const LOOK_AGAIN_MS = 5;
const DIES_WITHIN_MS = 500;
const RECONNECT_PAUSE_MS = 200;
/** Run states in which no vCPU runs: loaded, saved, not begun. */
const STANDS_STILL: readonly (string | null)[] = ['paused', 'postmigrate', 'prelaunch'];
const CONNECT_TIMEOUT_MS = 3_000;
/** Between two connections to a QEMU that ends them; longer each time. */
const MAX_RECONNECT_PAUSE_MS = 10_000;
const chardevsSchema = z.array(
  z.object({ label: z.string(), 'frontend-open': z.boolean() }).partial().loose(),
);

export interface QemuHandleOptions {
  readonly record: VmRecord;
  readonly qmp: QmpClient;
  /** Our own child; null for an adopted process, which only /proc and its socket tell about. */
  readonly child: QemuChild | null;
  /** Keeps console and log below their limit until the handle is done with. */
  readonly boundLog: BoundLog;
}

/** A QEMU that this process has started. */
export interface QemuChild {
  readonly exit: Promise<VmExit>;
  /** No longer keep this process alive for its sake. */
  detach(): void;
}

/** The handle of a QEMU whose identity has been checked. */
export function createQemuHandle(options: QemuHandleOptions): VmHandle {
  return new QemuHandle(options);
}

/** Removes what a QEMU that is gone leaves in its socket directory. Repeating it changes nothing. */
export async function removeSockets(spec: VmRecord['spec']): Promise<void> {
  await rm(qmpSocketPath(spec), { force: true });
  await rm(agentSocketPath(spec), { force: true });
}

async function* pieceOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

class QemuHandle implements VmHandle {
  readonly record: VmRecord;
  readonly exited: Promise<VmExit>;
  readonly asksGuestForAgent = false;
  #qmp: QmpClient;
  #connecting: Promise<QmpClient> | null = null;
  readonly #child: QemuChild | null;
  readonly #bounds: readonly { release(): void }[];
  #detached = false;

  constructor({ record, qmp, child, boundLog }: QemuHandleOptions) {
    this.record = record;
    this.#qmp = qmp;
    this.#child = child;
    this.#bounds = [boundLog(record.spec.consolePath), boundLog(record.spec.vmmLogPath)];
    this.exited = child?.exit ?? this.#watch();
  }

  async resume(): Promise<ResumeOutcome> {
    try {
      await this.#execute('cont');
      return { outcome: 'running' };
    } catch (error) {
      // QEMU refuses before it lets a vCPU run, if it refuses.
      if (!isCodedError(error) || error.reason !== 'vmm.command_failed') throw error;
      const state = await runState(this.#qmp).catch(() => null);
      if (!STANDS_STILL.includes(state)) throw error;
      const refusal = new CodedError({
        code: 'failed_precondition',
        reason: 'vmm.not_resumed',
        message: `the VM ${this.record.spec.vmId} cannot be let run: ${error.message}`,
        hint: 'The guest has not run since; remove the cause that QEMU names, and repeat the request.',
        details: { vm_id: this.record.spec.vmId },
        cause: error,
      });
      return { outcome: 'refused', error: refusal };
    }
  }

  async powerDown(): Promise<void> {
    await this.#execute('system_powerdown');
  }

  async pause(): Promise<void> {
    await this.#execute('stop');
  }

  async *save({ inPlain = false, inMemory = false }: SaveOptions = {}): AsyncGenerator<SavedPart> {
    const qmp = await this.#connected();
    // Whoever reads a hole of a file on a tmpfs takes a page of it; when it is full, that ends QEMU (SIGBUS).
    const devices = inPlain && !inMemory ? await saveDevices(this.record.spec, qmp) : null;
    if (devices === null) {
      yield { name: MEMORY_PART, bytes: saveQemu(this.record.spec, qmp) };
      return;
    }
    yield { name: DEVICES_PART, bytes: pieceOf(devices) };
    yield { name: FIRMWARE_PART, bytes: saveFirmware(this.record, qmp) };
    yield { name: MEMORY_PART, bytes: saveMemory(this.record, qmp), isImage: true };
  }

  async hasAgent(): Promise<boolean> {
    const answer = await this.#execute('query-chardev');
    return parseQmpReturn(chardevsSchema, answer, 'query-chardev').some(
      (device) => device.label === 'agent0' && device['frontend-open'] === true,
    );
  }

  async connectAgent(signal: AbortSignal): Promise<Duplex | null> {
    if (!(await this.hasAgent())) return null;
    return await connectSocket(agentSocketPath(this.record.spec), signal);
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
    this.#qmp.close();
    for (const bound of this.#bounds) bound.release();
  }

  /** The connection; a new one when QEMU, or its flood of events, has ended the last. */
  async #connected(): Promise<QmpClient> {
    if (!this.#qmp.isClosed() || this.#detached) return this.#qmp;
    this.#connecting ??= connectQmp({
      path: qmpSocketPath(this.record.spec),
      timeoutMs: CONNECT_TIMEOUT_MS,
    }).finally(() => {
      this.#connecting = null;
    });
    const qmp = await this.#connecting;
    if (this.#detached) qmp.close();
    this.#qmp = qmp;
    return qmp;
  }

  async #execute(command: string): Promise<unknown> {
    try {
      return await (await this.#connected()).execute(command);
    } catch (error) {
      // The socket of a process that is dying closes a moment before it is gone.
      const isLost = isCodedError(error) && error.reason === 'vmm.connection_lost';
      const deadline = performance.now() + (isLost ? DIES_WITHIN_MS : 0);
      while ((await isAlive(this.record)) && performance.now() < deadline) await sleep(LOOK_AGAIN_MS);
      if (await isAlive(this.record)) throw error;
      throw new CodedError({
        code: 'failed_precondition',
        reason: 'vmm.gone',
        message: `the VM ${this.record.spec.vmId} has ended`,
        hint: 'Start the instance again; its console log may tell why it ended.',
        cause: error,
      });
    }
  }

  /** Notices the end of a process that is not our child: it closes its socket as it dies. */
  async #watch(): Promise<VmExit> {
    let pauseMs = RECONNECT_PAUSE_MS;
    for (;;) {
      const began = performance.now();
      await this.#qmp.closed;
      if (this.#detached) return await new Promise<never>(() => {});
      pauseMs =
        performance.now() - began > MAX_RECONNECT_PAUSE_MS
          ? RECONNECT_PAUSE_MS
          : Math.min(2 * pauseMs, MAX_RECONNECT_PAUSE_MS);
      const deadline = performance.now() + pauseMs;
      while (performance.now() < deadline) {
        if (!(await isAlive(this.record))) return { exitCode: null, signal: null };
        await sleep(LOOK_AGAIN_MS);
      }
      try {
        await this.#connected();
      } catch {
        // Alive, and not answering: the next round looks at the process again.
      }
    }
  }
}
