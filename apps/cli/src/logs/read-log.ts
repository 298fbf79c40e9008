import type { InstanceInfo } from '@mvm/agentd-api';
import { isCodedError, type LogChunk } from '@mvm/protocol';
import type { InstanceAddress } from '../address/address.js';
import type { CliContext } from '../context.js';
import { readTail } from './read-tail.js';

export interface LogRequest {
  readonly address: InstanceAddress;
  readonly stream: 'console' | 'vmm';
  /** Only the last lines of what there is; undefined for all of it. */
  readonly tailLines: number | undefined;
  readonly follow: boolean;
  readonly onBytes: (bytes: Uint8Array) => void;
}

/** Between two looks at a log that is followed. */
const POLL_MS = 400;
/** After this much silence the instance's state is looked at: one that has ended writes no more. */
const SILENCE_MS = 2000;
/** How long a followed log waits for a daemon that went away, for instance to be restarted. */
const RECONNECT_MS = 30_000;

/**
 * Reads a log from its beginning (or its last lines) to its end, and beyond that while `follow` is set and the
 * instance lives. Returns the instance whose end ended the following. Errors: those of the call.
 */
export async function readLog(context: CliContext, request: LogRequest): Promise<InstanceInfo | undefined> {
  const { tenantId, poolId, instanceId } = request.address;
  const params = { tenant: tenantId, pool: poolId, instance: instanceId };
  const agentd = await context.agentd();
  const options = { signal: context.signal };
  const page = (query: { readonly offset?: number; readonly max_bytes?: number }) =>
    agentd.getInstanceLogs({ params, query: { stream: request.stream, ...query } }, options);
  const read = (from: number) => page({ offset: from });

  let offset = 0;
  if (request.tailLines === undefined) {
    const first = await read(0);
    emit(first, request);
    if (first.truncated) context.say('(the beginning of this log is gone)');
    offset = first.next_offset;
  } else {
    const tail = await readTail(page, request.tailLines);
    if (tail.truncated) context.say('(these are all lines that are left: the beginning of this log is gone)');
    if (tail.bytes.length > 0) request.onBytes(tail.bytes);
    offset = tail.nextOffset;
  }
  let quietSince = context.monotonicMs();
  for (;;) {
    const chunk = await (request.follow ? patiently(context, () => read(offset)) : read(offset));
    if (chunk.next_offset > offset) {
      if (chunk.truncated) context.say('(part of this log was dropped before it could be read)');
      emit(chunk, request);
      offset = chunk.next_offset;
      quietSince = context.monotonicMs();
      continue;
    }
    if (!request.follow) return undefined;
    if (context.monotonicMs() - quietSince > SILENCE_MS) {
      const instance = await patiently(context, () => agentd.getInstance({ params }, options));
      if (instance.status === 'stopped' || instance.status === 'destroyed') return instance;
      quietSince = context.monotonicMs();
    }
    await context.sleep(POLL_MS);
  }
}

function emit(chunk: LogChunk, request: LogRequest): void {
  const bytes = Buffer.from(chunk.data_base64, 'base64');
  if (bytes.length > 0) request.onBytes(bytes);
}

/** Repeats a call while the daemon is away, for a limited time. */
async function patiently<T>(context: CliContext, call: () => Promise<T>): Promise<T> {
  const start = context.monotonicMs();
  for (let attempt = 0; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      const away = isCodedError(error) && error.code === 'unavailable';
      if (!away || context.monotonicMs() - start > RECONNECT_MS) throw error;
      if (attempt === 0) context.say('(connection lost, trying again)');
      await context.sleep(1000);
    }
  }
}
