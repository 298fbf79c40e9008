/**
 * A live Firecracker, launched by us or adopted.
 *
 * INVARIANTS
 * - No signal is sent to a pid whose start time is not the recorded one.
 * - `exited` settles once; after `detach` it may stay pending, and nothing of ours keeps looking.
 * - A guest that was let run without its VMM's seccomp filter is ended.
 */
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { CodedError, isCodedError } from '@mvm/protocol';
import { z } from 'zod';
import type { BoundLog } from '../process/bound-log.js';
import { connectSocket } from '../process/connect-socket.js';
import { killProcess } from '../process/kill-process.js';
import { isAlive } from '../process/process-identity.js';
import type { ResumeOutcome, SavedPart, VmExit, VmHandle, VmRecord } from '../vmm.js';
import { type ApiRequest, createApi, type FirecrackerApi } from './api.js';
import { verifyJailed } from './confinement.js';
import { throughJail } from './jail.js';
import { apiSocketPath, vsockPath } from './machine.js';
import { saveFirecracker, takeSnapshot } from './save.js';
import { isKnownVersion, traitsOf, unknownVersion } from './versions.js';
import { AGENT_PORT, AgentLine, connectGuest } from './vsock.js';

const LOOK_AGAIN_MS = 20;
const DIES_WITHIN_MS = 1_000;
const CONNECT_TIMEOUT_MS = 3_000;
const MAX_RECONNECT_PAUSE_MS = 10_000;
/** A guest that runs takes a connection at once; one that is paused, or has no agent that listens, does not. */
const AGENT_ANSWERS_WITHIN_MS = 3_000;

const instanceSchema = z.object({ state: z.enum(['Not started', 'Running', 'Paused']) }).loose();
type InstanceState = z.infer<typeof instanceSchema>['state'];

export interface FirecrackerHandleOptions {
  readonly record: VmRecord;
  /** Our own child; null for an adopted process. */
  readonly child: { readonly exit: Promise<VmExit>; detach(): void } | null;
  /** Keeps console and log below their limit until the handle is done with. */
  readonly boundLog: BoundLog;
}

/** The handle of a Firecracker whose identity has been checked. */
export function createFirecrackerHandle(options: FirecrackerHandleOptions): VmHandle {
  return new FirecrackerHandle(options);
}

class FirecrackerHandle implements VmHandle {
  readonly record: VmRecord;
  readonly exited: Promise<VmExit>;
  readonly asksGuestForAgent = true;
  readonly #api: FirecrackerApi;
  readonly #child: FirecrackerHandleOptions['child'];
  readonly #agent: AgentLine;
  readonly #bounds: readonly { release(): void }[];
  readonly #detaching = new AbortController();
  /** A snapshot was made since the last pause, by this hostd. */
  #isSaved = false;

  constructor({ record, child, boundLog }: FirecrackerHandleOptions) {
    this.record = record;
    this.#api = createApi(throughJail(record.pid, apiSocketPath(record.spec)));
    const agentPath = throughJail(record.pid, vsockPath(record.spec));
    this.#agent = new AgentLine((signal) => connectGuest(agentPath, AGENT_PORT, signal));
    this.#child = child;
    this.#bounds = [boundLog(record.spec.consolePath), boundLog(record.spec.vmmLogPath)];
    this.exited = child?.exit ?? this.#watch();
  }

  async resume(): Promise<ResumeOutcome> {
    const before = await this.#state();
    if (before === 'Running') return { outcome: 'running' };
    try {
      if (before === 'Not started') {
        await this.#call({ method: 'PUT', path: '/actions', body: { action_type: 'InstanceStart' } });
      } else {
        await this.#keepVsock();
        await this.#call({ method: 'PATCH', path: '/vm', body: { state: 'Resumed' } });
      }
    } catch (error) {
      if (!isCodedError(error) || error.reason !== 'vmm.command_failed') throw error;
      if ((await this.#state()) !== before) throw error;
      return { outcome: 'refused', error: this.#notResumed(error) };
    }
    this.#isSaved = false;
    await this.#verify();
    return { outcome: 'running' };
  }

  async powerDown(): Promise<void> {
    // A guest that has not run yet cannot be asked.
    if ((await this.#state()) === 'Not started') return;
    await this.#call({ method: 'PUT', path: '/actions', body: { action_type: 'SendCtrlAltDel' } });
  }

  async pause(): Promise<void> {
    if ((await this.#state()) !== 'Running') return;
    this.#isSaved = false;
    await this.#call({ method: 'PATCH', path: '/vm', body: { state: 'Paused' } });
  }

  async *save(): AsyncGenerator<SavedPart> {
    const { vmmVersion, spec } = this.record;
    if (!isKnownVersion(vmmVersion))
      throw unknownVersion(vmmVersion, `the VM ${spec.vmId} cannot be put to sleep`);
    if ((await this.#state()) !== 'Paused') throw this.#notSaved('it is not paused');
    this.#isSaved = true;
    yield* saveFirecracker(this.record, (request) => this.#call(request));
  }

  async hasAgent(): Promise<boolean> {
    await this.#requireAlive();
    return await this.#agent
      .answers(AbortSignal.timeout(AGENT_ANSWERS_WITHIN_MS))
      .catch(async (error: unknown) => {
        await this.#requireAlive(error);
        return false;
      });
  }

  async connectAgent(signal: AbortSignal): Promise<Duplex | null> {
    await this.#requireAlive();
    return await this.#agent.connect(signal);
  }

  async kill(): Promise<void> {
    await killProcess(this.record);
    if (!this.#detaching.signal.aborted) await this.exited;
    this.#release();
  }

  detach(): void {
    this.#detaching.abort();
    this.#child?.detach();
    this.#release();
  }

  #release(): void {
    for (const bound of this.#bounds) bound.release();
  }

  /** Some versions lose the guest's vsock by this resume, unless a snapshot was made; that one is discarded. */
  async #keepVsock(): Promise<void> {
    if (this.#isSaved || !traitsOf(this.record.vmmVersion).losesVsockAfterPause) return;
    await takeSnapshot(
      this.record,
      (request) => this.#call(request),
      async () => {},
    );
  }

  /** The filter is there from the start of the guest on. */
  async #verify(): Promise<void> {
    try {
      await verifyJailed(this.record.pid, this.record.spec, { started: true });
    } catch (error) {
      await this.#requireAlive(error);
      await killProcess(this.record);
      throw error;
    }
  }

  async #state(): Promise<InstanceState> {
    const answer = instanceSchema.safeParse(await this.#call({ method: 'GET', path: '/' }));
    if (answer.success) return answer.data.state;
    throw new CodedError({
      code: 'internal',
      reason: 'vmm.bad_answer',
      message: `Firecracker does not say in which state the VM ${this.record.spec.vmId} is`,
      hint: 'Report it, with the version of Firecracker.',
    });
  }

  async #call(request: ApiRequest): Promise<unknown> {
    await this.#requireAlive();
    try {
      return await this.#api.call(request);
    } catch (error) {
      await this.#requireAlive(error);
      throw error;
    }
  }

  /** Throws `vmm.gone` when the process has ended; one that has lost a connection may be about to. */
  async #requireAlive(cause?: unknown): Promise<void> {
    const isLost = isCodedError(cause) && cause.reason === 'vmm.connection_lost';
    const deadline = performance.now() + (isLost ? DIES_WITHIN_MS : 0);
    while (await isAlive(this.record)) {
      if (performance.now() >= deadline) return;
      await sleep(LOOK_AGAIN_MS);
    }
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'vmm.gone',
      message: `the VM ${this.record.spec.vmId} has ended`,
      hint: 'Start the instance again; its console log may tell why it ended.',
      cause,
    });
  }

  #notResumed(cause: CodedError): CodedError {
    return new CodedError({
      code: 'failed_precondition',
      reason: 'vmm.not_resumed',
      message: `the VM ${this.record.spec.vmId} cannot be let run: ${cause.message}`,
      hint: 'The guest has not run since; remove the cause that Firecracker names, and repeat the request.',
      details: { vm_id: this.record.spec.vmId },
      cause,
    });
  }

  #notSaved(why: string): CodedError {
    return new CodedError({
      code: 'internal',
      reason: 'vmm.save_failed',
      message: `the VM ${this.record.spec.vmId} cannot be saved: ${why}`,
      hint: 'The instance keeps running. Look at free memory and the VMM’s log.',
      details: { vm_id: this.record.spec.vmId },
    });
  }

  /** Notices the end of a process that is not our child: an idle connection to its API closes as it dies. */
  async #watch(): Promise<VmExit> {
    const { signal } = this.#detaching;
    for (
      let pauseMs = LOOK_AGAIN_MS;
      !signal.aborted;
      pauseMs = Math.min(2 * pauseMs, MAX_RECONNECT_PAUSE_MS)
    ) {
      const path = throughJail(this.record.pid, apiSocketPath(this.record.spec));
      const socket = await connectSocket(path, AbortSignal.timeout(CONNECT_TIMEOUT_MS)).catch(() => null);
      if (socket !== null) {
        pauseMs = LOOK_AGAIN_MS;
        socket.resume();
        await new Promise<void>((resolve) => {
          socket.once('close', () => resolve());
          signal.addEventListener('abort', () => socket.destroy(), { once: true });
          if (signal.aborted) socket.destroy();
        });
      }
      for (const until = performance.now() + pauseMs; !signal.aborted && performance.now() <= until; ) {
        if (!(await isAlive(this.record))) return { exitCode: null, signal: null };
        await sleep(LOOK_AGAIN_MS);
      }
    }
    return await new Promise<never>(() => {});
  }
}
