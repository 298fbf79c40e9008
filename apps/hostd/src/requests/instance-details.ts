import { setTimeout as sleep } from 'node:timers/promises';
import type { InstanceRuntime } from '@mvm/protocol';
import { parseInstanceAddress } from '../operations/addresses.js';
import { consoleTail } from '../operations/console-tail.js';
import { requireInstance } from '../state/store.js';
import type { VmHandle, VmRecord } from '../vmm/vmm.js';
import type { RequestHandler, RequestServices } from './handler.js';
import { instanceView } from './views.js';

/** Bytes of a log in one answer when the caller does not say; also the most that it may ask for. */
const DEFAULT_LOG_BYTES = 262_144;

async function runtimeView(vm: VmRecord, { ports }: RequestServices): Promise<InstanceRuntime> {
  const usage = await ports.cgroups.stats(vm.spec.vmId);
  return {
    vmm: vm.vmm,
    vmm_version: vm.vmmVersion,
    accelerator: vm.spec.accelerator,
    pid: vm.pid,
    uid: vm.spec.uid,
    gid: vm.spec.gid,
    memory_max_bytes: usage.memoryMaxBytes,
    memory_current_bytes: usage.memoryCurrentBytes,
    cpu_max_percent: usage.cpuMaxPercent,
    pids_max: usage.pidsMax,
    pids_current: usage.pidsCurrent,
  };
}

/** Longest wait for a VMM that may hang: what it is asked is not worth more. */
const ASK_WITHIN_MS = 500;
/** Questions under way; a VMM that hangs is not asked again meanwhile. */
const asked = new WeakMap<VmHandle, Promise<boolean | null>>();

/**
 * Null when the VMM does not say in time, or ends. The guest's agent itself is not asked: a frame of ours would come
 * between those of an operation.
 */
function agentConnected(handle: VmHandle): Promise<boolean | null> {
  const known = asked.get(handle);
  const answer =
    known ??
    handle
      .hasAgent()
      .catch(() => null)
      .finally(() => asked.delete(handle));
  if (known === undefined) asked.set(handle, answer);
  return Promise.race([answer, sleep(ASK_WITHIN_MS, null, { ref: false })]);
}

export const describeInstance: RequestHandler<'DescribeInstance'> = async (request, services) => {
  const address = parseInstanceAddress(request);
  const record = requireInstance(services.ports.store, address);
  const live = record.vm == null ? undefined : services.ports.vms.get(record.vm.spec.vmId);
  return {
    type: 'InstanceDetail',
    ...instanceView(record, services),
    ...(record.secrets_epoch == null ? {} : { secrets_epoch: record.secrets_epoch }),
    runtime: record.vm != null && live !== undefined ? await runtimeView(record.vm, services) : null,
    agent_connected: live === undefined ? null : await agentConnected(live.handle),
    console_tail: await consoleTail(services.ports, address, null),
  };
};

export const instanceLogs: RequestHandler<'InstanceLogs'> = async (request, { ports }) => {
  const address = parseInstanceAddress(request);
  requireInstance(ports.store, address);
  const stream = request.stream ?? 'console';
  const path = stream === 'console' ? ports.layout.consoleLog(address) : ports.layout.vmmLog(address);
  const chunk = await ports.readLog({
    path,
    maxBytes: request.max_bytes ?? DEFAULT_LOG_BYTES,
    ...(request.offset == null ? {} : { offset: request.offset }),
  });
  return {
    type: 'Logs',
    stream,
    offset: chunk.offset,
    next_offset: chunk.nextOffset,
    data_base64: Buffer.from(chunk.data).toString('base64'),
    truncated: chunk.truncated,
  };
};
