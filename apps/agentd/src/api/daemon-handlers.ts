import { type HostdStatus, type Status, toApiError, type VersionInfo } from '@mvm/agentd-api';
import { type CodedError, PROTOCOL_VERSION, SUPPORTED_VERSIONS, toCodedError } from '@mvm/protocol';
import { revisionOf } from '../desired/revision.js';
import { toActionView } from '../reconcile/actions.js';
import type { ReconcileReport } from '../reconcile/loop.js';
import type { Plan } from '../reconcile/types.js';
import type { ApiContext, Handlers } from './handler-types.js';

type DaemonRoute =
  | 'getVersion'
  | 'ping'
  | 'getHost'
  | 'getStatus'
  | 'getDesired'
  | 'putDesired'
  | 'reconcile'
  | 'getMetrics';

const UNREACHABLE: ReadonlySet<string> = new Set(['hostd.unreachable', 'hostd.disconnected', 'hostd.denied']);
const MISMATCHED: ReadonlySet<string> = new Set(['hostd.version_too_old', 'hostd.bad_answer']);

function hostdStatus({ client, hostdSocket }: ApiContext, { last_pass }: ReconcileReport): HostdStatus {
  const error = last_pass?.error ?? null;
  // hostd may have gone since the last pass; whether it is back, the next one finds out.
  const lost = client.version() === 2 && client.server === null;
  let state: HostdStatus['state'] = last_pass === null || lost ? 'unknown' : 'connected';
  if (error !== null && UNREACHABLE.has(error.reason)) state = 'unreachable';
  if (error !== null && MISMATCHED.has(error.reason)) state = 'protocol_mismatch';
  return {
    state,
    socket: hostdSocket,
    version: client.version(),
    server: client.server?.name ?? null,
    error,
  };
}

function statusOf(context: ApiContext): Status {
  const { desired, holds, now, reconciler } = context;
  const report = reconciler.report();
  return {
    node_id: desired.loaded?.desired.node_id ?? null,
    agentd: {
      version: context.version,
      pid: process.pid,
      uid: process.geteuid?.() ?? -1,
      started_at: context.startedAt,
    },
    hostd: hostdStatus(context, report),
    desired: desired.status(),
    ...report,
    holds: [...holds.active(now())],
    network: context.network.status(),
  };
}

async function hostdVersion({ client }: ApiContext): Promise<VersionInfo['hostd']> {
  await client.request({ type: 'Ping' });
  if (client.version() !== PROTOCOL_VERSION) {
    return { version: null, node_version: null, protocol_version: 1, protocol_versions: [1] };
  }
  const host = await client.request({ type: 'HostInfo' });
  return {
    version: host.hostd_version,
    node_version: host.node_version,
    protocol_version: PROTOCOL_VERSION,
    protocol_versions: host.protocol_versions,
  };
}

/** agentd itself, hostd behind it, and the desired state. */
export function daemonHandlers(context: ApiContext): Handlers<DaemonRoute> {
  const { client, desired, metrics, reconciler } = context;
  return {
    async getVersion() {
      let hostd: VersionInfo['hostd'] = null;
      let failure: CodedError | null = null;
      try {
        hostd = await hostdVersion(context);
      } catch (error) {
        failure = toCodedError(error);
      }
      return {
        agentd: {
          version: context.version,
          node_version: process.version,
          protocol_versions: [...SUPPORTED_VERSIONS],
        },
        hostd,
        hostd_error: failure === null ? null : toApiError(failure),
        compatible: hostd?.protocol_version === PROTOCOL_VERSION,
      };
    },

    async ping() {
      const start = performance.now();
      await client.request({ type: 'Ping' });
      const hostd_round_trip_ms = performance.now() - start;
      return { agentd: 'ok', hostd_round_trip_ms, protocol_version: client.version() ?? PROTOCOL_VERSION };
    },

    async getHost() {
      const { type: _, ...host } = await client.request({ type: 'HostInfo' });
      return host;
    },

    async getStatus() {
      return statusOf(context);
    },

    async getDesired() {
      return { ...desired.status(), desired: desired.loaded?.desired ?? null };
    },

    async putDesired({ query, body }) {
      let planned: Plan | null = null;
      let failure: CodedError | null = null;
      try {
        planned = await reconciler.planFor(body);
      } catch (error) {
        failure = toCodedError(error);
      }
      // A dry run that cannot look at the host has no answer; a state can be accepted without.
      if (query.dry_run && failure !== null) throw failure;
      const { revision } = query.dry_run ? { revision: revisionOf(body) } : await desired.put(body);
      return {
        revision,
        applied: !query.dry_run,
        actions: planned?.actions.map(toActionView) ?? [],
        problems: [...(planned?.problems ?? [])],
        plan_error: failure === null ? null : toApiError(failure),
      };
    },

    async reconcile() {
      await reconciler.reconcileNow();
      return statusOf(context);
    },

    async getMetrics() {
      return (await metrics.render()).text;
    },
  };
}
