import { type HostdStatus, type Status, toApiError, type VersionInfo } from '@mvm/agentd-api';
import { CodedError, PROTOCOL_VERSION, SUPPORTED_VERSIONS, toCodedError } from '@mvm/protocol';
import { refuseOlder, refuseUnreachable, refuseWhatHostdRefuses } from '../desired/check-reachable.js';
import { revisionOf } from '../desired/revision.js';
import { renderMetrics } from '../metrics/render-metrics.js';
import { toActionView } from '../reconcile/actions.js';
import { listActivity } from '../reconcile/observe.js';
import type { Plan } from '../reconcile/types.js';
import type { ApiContext, Handlers } from './handler-types.js';

type DaemonRoute =
  | 'getVersion'
  | 'ping'
  | 'getHost'
  | 'getActivity'
  | 'getStatus'
  | 'getDesired'
  | 'putDesired'
  | 'reconcile'
  | 'getMetrics';

const MISMATCHED: ReadonlySet<string> = new Set(['hostd.version_too_old', 'hostd.bad_answer']);
/** How long hostd may take to answer a status's question: it answers a ping at once, whatever else it does. */
const PING_TIMEOUT_MS = 2000;

/** Ask hostd now: what the last pass saw may be history. */
async function askHostd({ client, hostdSocket }: ApiContext): Promise<HostdStatus> {
  const error = await client
    .request({ type: 'Ping' }, { timeoutMs: PING_TIMEOUT_MS })
    .then(() => null)
    .catch((thrown: unknown) => toCodedError(thrown));
  const mismatched = error === null ? client.version() !== PROTOCOL_VERSION : MISMATCHED.has(error.reason);
  const failed = mismatched ? 'protocol_mismatch' : 'unreachable';
  return {
    state: error === null && !mismatched ? 'connected' : failed,
    socket: hostdSocket,
    version: client.version(),
    server: client.server?.name ?? null,
    error: error === null ? null : toApiError(error),
  };
}

async function statusOf(context: ApiContext): Promise<Status> {
  const { desired, holds, now, reconciler } = context;
  const hostd = await askHostd(context);
  const report = reconciler.report();
  // What cannot be asked cannot be as desired, and an operator has to look.
  const known = hostd.state === 'connected';
  return {
    node_id: desired.loaded?.desired.node_id ?? null,
    agentd: {
      version: context.version,
      pid: process.pid,
      uid: process.geteuid?.() ?? -1,
      started_at: context.startedAt,
    },
    hostd: { ...hostd, error: hostd.error ?? (known ? null : (report.last_pass?.error ?? null)) },
    desired: desired.status(),
    ...report,
    converged: report.converged && known,
    settled: report.settled && known,
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

    async getActivity() {
      const sample = await listActivity(client);
      if (sample !== null) return { activity: [...sample.activity], monotonic_ms: sample.monotonicMs };
      throw new CodedError({
        code: 'unimplemented',
        reason: 'activity.unknown',
        message: 'this mvm-hostd does not tell how busy its VMs are',
        hint: 'Update mvm-hostd: mvm version.',
      });
    },

    async getStatus() {
      return statusOf(context);
    },

    async getDesired() {
      return { ...desired.status(), desired: desired.loaded?.desired ?? null };
    },

    async putDesired({ query, body }) {
      refuseOlder(body, desired.loaded?.desired);
      refuseUnreachable(body);
      let planned: Plan | null = null;
      let failure: CodedError | null = null;
      try {
        planned = await reconciler.planFor(body);
      } catch (error) {
        failure = toCodedError(error);
      }
      // A dry run that cannot look at the host has no answer; a state can be accepted without.
      if (query.dry_run && failure !== null) throw failure;
      if (planned !== null) await refuseWhatHostdRefuses(client, planned);
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
      return (await renderMetrics({ client, metrics, reconciler })).text;
    },
  };
}
