import type { AuditEntry } from '@mvm/audit-log';
import { CodedError, type RequestOf, type RequestOrigin, toCodedError } from '@mvm/protocol';
import { decodeStreamFrame, type StreamEnd, type StreamSpec } from '@mvm/protocol/guest';
import type { PeerCredentials } from '@mvm/unix-peer';
import type { Logger } from 'pino';
import type { HostPorts } from '../execute/ports.js';
import type { GuestStream, StreamSink } from '../guest-agent/stream-mux.js';
import { encodeSpec } from '../guest-agent/stream-records.js';
import { parseInstanceAddress } from '../operations/addresses.js';
import type { Clock } from '../operations/operation-context.js';
import type { AuditSink } from '../state/audit-log.js';
import type { InstanceRecord } from '../state/records.js';
import { requireInstance } from '../state/store.js';
import { originDetails } from './origin-details.js';

/** For a guest that boots to open its agent's channel, and for the agent's first answer. */
const OPEN_TIMEOUT_MS = 30_000;
const MAX_AUDITED_TEXT = 200;

export interface OpenStreamDeps {
  readonly ports: Pick<HostPorts, 'store' | 'vms'>;
  readonly audit: AuditSink;
  readonly clock: Clock;
  readonly newOpId: () => string;
  readonly logger: Logger;
}

/** A stream that may be opened: everything is checked, and its line is durable in the audit log. */
export interface PreparedStream {
  /** The log's head is durable, too: before that the caller is answered nothing. Rejects when it cannot be written. */
  readonly recorded: Promise<void>;
  /** Throws why there is no stream after all. */
  open(sink: StreamSink): GuestStream;
  /** Writes the line that says how it ended; call it once. */
  ended(end: StreamEnd | null): Promise<void>;
}

/** Answers the stream that a request asks for, or throws a CodedError that is ready to be sent. */
export type PrepareStream = (
  request: RequestOf<'OpenStream'>,
  peer: PeerCredentials,
  origin?: RequestOrigin,
) => Promise<PreparedStream>;

function requireRunning(instance: InstanceRecord): string {
  if (instance.status === 'running' && instance.vm != null) return instance.vm.spec.vmId;
  const resume = instance.status === 'warm' ? 'Resume it first: mvm instance resume.' : undefined;
  const wake = instance.status === 'sleeping' ? 'Wake it first: mvm instance wake.' : undefined;
  throw new CodedError({
    code: 'failed_precondition',
    reason: 'instance.not_running',
    message: `instance ${instance.instance_id} is ${instance.status}: there is no running guest to enter`,
    hint: resume ?? wake ?? 'Start it first: mvm instance start.',
    details: { status: instance.status },
  });
}

/** What is opened, without content: arguments may hold secrets, so only the program's name is written down. */
function describe({ kind, args, user, tty, port, path }: StreamSpec): Record<string, string | number> {
  return {
    kind,
    ...(args === undefined
      ? {}
      : { program: (args[0] ?? '').slice(0, MAX_AUDITED_TEXT), args: args.length - 1 }),
    ...(user === undefined ? {} : { user: user.slice(0, MAX_AUDITED_TEXT) }),
    ...(tty === undefined ? {} : { tty: 1 }),
    ...(port === undefined ? {} : { port }),
    ...(path === undefined ? {} : { path: path.slice(0, MAX_AUDITED_TEXT) }),
  };
}

/** What went through a stream, in bytes of data. */
interface Traffic {
  toGuest: number;
  fromGuest: number;
}

function count(traffic: Traffic, direction: keyof Traffic, body: Uint8Array): void {
  const frame = decodeStreamFrame(body);
  if (frame?.type === 'data') traffic[direction] += frame.data.length;
}

export function createPrepareStream(deps: OpenStreamDeps): PrepareStream {
  const { ports, audit, clock } = deps;

  return async (request, peer, origin) => {
    const began = performance.now();
    const address = parseInstanceAddress(request);
    const opId = deps.newOpId();
    const logger = deps.logger.child({ op: opId, ...address, uid: peer.uid, kind: request.open.kind });
    const line = (
      operation: string,
      failure: CodedError | null,
      details: AuditEntry['details'],
    ): AuditEntry => ({
      at: clock.now(),
      op_id: opId,
      operation,
      ...address,
      peer: { pid: peer.pid, uid: peer.uid, gid: peer.gid },
      result: failure === null ? 'ok' : 'error',
      code: failure?.code ?? null,
      reason: failure?.reason ?? null,
      message: failure?.message.slice(0, 500) ?? null,
      duration_ms: Math.round(performance.now() - began),
      ...(details === undefined ? {} : { details }),
    });
    const details = { ...describe(request.open), ...Object.fromEntries(originDetails(origin)) };
    const spec = encodeSpec(request.open);
    requireInstance(ports.store, address);
    try {
      const live = ports.vms.get(requireRunning(requireInstance(ports.store, address)));
      if (live === undefined) throw new Error(`the VM of ${address.instance_id} is not watched`);
      const open = await live.agent.prepareStream({ timeoutMs: OPEN_TIMEOUT_MS });
      let recorded: Promise<void> = Promise.resolve();
      await new Promise<void>((durable, failed) => {
        recorded = audit.append(line('open_stream', null, details), durable);
        // A tenant without a directory has no log, and so no line.
        recorded.then(durable, failed);
      });
      logger.info('stream opened');
      const traffic: Traffic = { toGuest: 0, fromGuest: 0 };
      return {
        recorded,
        open: (sink) => {
          const stream = open(spec, {
            frame: (body) => {
              count(traffic, 'fromGuest', body);
              sink.frame(body);
            },
            end: sink.end,
          });
          return {
            ...stream,
            send: (body) => {
              count(traffic, 'toGuest', body);
              return stream.send(body);
            },
          };
        },
        ended: async (end) => {
          const how = endDetails(end);
          logger.info({ ...how, ...traffic }, 'stream ended');
          const bytes = { bytes_to_guest: traffic.toGuest, bytes_from_guest: traffic.fromGuest };
          try {
            await audit.append(line('close_stream', null, { ...details, ...how, ...bytes }));
          } catch (error) {
            logger.error({ err: error }, 'the end of a stream could not be written to the audit log');
          }
        },
      };
    } catch (error) {
      const failure = toCodedError(error);
      logger.warn({ err: failure }, 'stream not opened');
      await audit.append(line('open_stream', failure, details)).catch((problem: unknown) => {
        logger.error({ err: problem }, 'a failed operation could not be written to the audit log');
      });
      throw failure;
    }
  };
}

function endDetails(end: StreamEnd | null): Record<string, string | number> {
  switch (end?.type) {
    case 'Exited':
      return { ended: 'exited', exit_code: end.code };
    case 'Killed':
      return { ended: 'killed', signal: end.signal };
    case 'Error':
      return { ended: 'error', reason: end.reason ?? 'unknown' };
    default:
      return { ended: 'caller_left' };
  }
}
