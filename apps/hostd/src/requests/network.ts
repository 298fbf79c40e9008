import { DROP_MEANINGS } from '@mvm/net-executor/diagnose';
import { type NetworkCommand, renderCommands } from '@mvm/net-executor/execute';
import { CodedError, type NetworkDriftView } from '@mvm/protocol';
import { parseTenantId } from '@mvm/protocol/names';
import type { HostPorts } from '../execute/ports.js';
import { systemClock } from '../operations/operation-context.js';
import { requireTenant } from '../state/store.js';
import type { RequestHandler } from './handler.js';

/** Drifts in one answer. Source: docs/protocol.md#limits. */
const MAX_DRIFTS = 500;
/** Bytes of scripts in one answer, well below a frame's 1 MiB however they are escaped. */
const MAX_SCRIPT_BYTES = 524_288;

/** The net id that is recorded for a tenant; undefined for the whole host. Throws `id.invalid`, `tenant.not_found`. */
function recordedNetId({ store }: HostPorts, tenantId: string | null | undefined): number | undefined {
  return tenantId == null ? undefined : requireTenant(store, parseTenantId(tenantId)).net.tenant_net_id;
}

export const verifyNetwork: RequestHandler<'VerifyNetwork'> = async (
  request,
  { ports, probes },
  { logger },
) => {
  const began = performance.now();
  const netId = recordedNetId(ports, request.tenant_id);
  if (request.deep === true && request.tenant_id == null) {
    throw new CodedError({
      code: 'invalid_argument',
      reason: 'net.probe_needs_tenant',
      message: 'probes are sent from one tenant’s bridge, and none is named',
      hint: 'Name a tenant, or leave deep out.',
    });
  }
  const { drifts, checked } = await ports.network.inspect(netId);
  const kinds = Object.entries(checked).map(([object, count]) => ({
    object,
    checked: count,
    drifts: drifts.filter((drift) => drift.object === object).length,
  }));
  return {
    type: 'NetworkReport',
    tenant_id: request.tenant_id ?? null,
    kinds,
    drifts: drifts.slice(0, MAX_DRIFTS).map(
      ({ object, name, state, detail }): NetworkDriftView => ({
        object,
        name: name.slice(0, 256),
        state,
        detail: detail.slice(0, 512),
      }),
    ),
    drift_count: drifts.length,
    probes: request.deep === true ? await probes.probe(parseTenantId(request.tenant_id ?? ''), logger) : null,
    duration_ms: performance.now() - began,
  };
};

/** As many whole lines of the scripts as fit. */
function scriptsWithin(
  commands: readonly NetworkCommand[],
  bytes: number,
): { commands: NetworkCommand[]; truncated: boolean } {
  let left = bytes;
  let truncated = false;
  const kept: NetworkCommand[] = [];
  for (const command of commands) {
    if (truncated) break;
    let script = '';
    for (const line of command.script.split(/(?<=\n)/)) {
      left -= Buffer.byteLength(JSON.stringify(line));
      if (left < 0) {
        truncated = true;
        break;
      }
      script += line;
    }
    kept.push({ ...command, script });
  }
  return { commands: kept, truncated };
}

export const planNetwork: RequestHandler<'PlanNetwork'> = async (request, { ports }) => {
  const netId = recordedNetId(ports, request.tenant_id);
  const fromScratch = request.from_scratch === true;
  const steps = await ports.network.preview({ netId, fromScratch });
  const { commands, truncated } = scriptsWithin(renderCommands(steps), MAX_SCRIPT_BYTES);
  return {
    type: 'NetworkPlan',
    tenant_id: request.tenant_id ?? null,
    from_scratch: fromScratch,
    steps: steps.length,
    commands: commands.map(({ program, args, script }) => ({ program, args: [...args], script })),
    truncated,
  };
};

export const networkDrops: RequestHandler<'NetworkDrops'> = async (_request, { ports }) => {
  const counts = await ports.network.drops();
  return {
    type: 'NetworkDrops',
    at: systemClock.now(),
    counters: counts.map(({ family, name, packets, bytes }) => ({
      name,
      table: `${family} mvm`,
      meaning: DROP_MEANINGS[name]?.meaning ?? 'was dropped',
      advice: DROP_MEANINGS[name]?.advice ?? 'docs/networking.md',
      packets,
      bytes,
    })),
  };
};
