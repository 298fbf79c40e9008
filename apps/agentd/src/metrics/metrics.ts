import { type Pass, problemSchema } from '@mvm/agentd-api';
import type { NetworkReport } from '@mvm/protocol';
import { instanceStatusSchema } from '@mvm/protocol/schemas';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { ActionOutcome } from '../reconcile/execute.js';
import type { ReconcileReport } from '../reconcile/loop.js';
import type { ObservedHost } from '../reconcile/types.js';
import { createInstanceMetrics, type SeenHost } from './instance-metrics.js';

const PROBLEM_KINDS = problemSchema.shape.kind.options;

export interface MetricFamily {
  readonly name: string;
  readonly type: string;
  readonly labels: readonly string[];
  readonly help: string;
}

/** agentd's metrics, as `GET /metrics` shows them. Each is written in one place. */
export interface Metrics {
  passEnded(pass: Pass, report: ReconcileReport): void;
  actionEnded(outcome: ActionOutcome): void;
  observed(host: ObservedHost): void;
  /** A verification of the network, and for how many seconds its oldest drift has stood. */
  networkVerified(report: NetworkReport, oldestSeconds: number): void;
  networkNotVerified(): void;
  /** What hostd says at a scrape; null when it does not answer. */
  hostSeen(seen: SeenHost | null): void;
  /** The families of mvm's own, by name. */
  describe(): MetricFamily[];
  /** Prometheus' text format, and its content type. */
  render(): Promise<{ text: string; contentType: string }>;
}

export function createMetrics(): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const passes = new Counter({
    name: 'mvm_agentd_reconcile_passes_total',
    help: 'Reconcile passes by trigger and result (ok, failed).',
    labelNames: ['trigger', 'result'],
    registers,
  });
  const passSeconds = new Histogram({
    name: 'mvm_agentd_reconcile_pass_seconds',
    help: 'Duration of reconcile passes.',
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 180],
    registers,
  });
  const actions = new Counter({
    name: 'mvm_agentd_actions_total',
    help: 'Actions by kind and result (ok or the error code).',
    labelNames: ['kind', 'result'],
    registers,
  });
  const actionSeconds = new Histogram({
    name: 'mvm_agentd_action_seconds',
    help: 'Duration of actions by kind.',
    labelNames: ['kind'],
    buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 180],
    registers,
  });
  const hostdUp = new Gauge({
    name: 'mvm_agentd_hostd_up',
    help: '1 when hostd answered the last pass or scrape in a version that agentd understands, else 0.',
    registers,
  });
  const instances = new Gauge({
    name: 'mvm_agentd_instances',
    help: 'Instances on the host by status, as of the last pass.',
    labelNames: ['status'],
    registers,
  });
  const converged = new Gauge({
    name: 'mvm_agentd_converged',
    help: '1 when the host is at the desired state, else 0.',
    registers,
  });
  const problems = new Gauge({
    name: 'mvm_agentd_problems',
    help: 'Problems of the last plan by kind.',
    labelNames: ['kind'],
    registers,
  });

  const networkDrifts = new Gauge({
    name: 'mvm_agentd_network_drifts',
    help: 'Differences between the kernel and the recorded network by kind of object, as of the last verification.',
    labelNames: ['object'],
    registers,
  });
  const networkDriftAge = new Gauge({
    name: 'mvm_agentd_network_drift_oldest_seconds',
    help: 'For how long the oldest present drift of the network has stood; 0 without one. Alert when it exceeds 30.',
    registers,
  });
  const networkVerifications = new Counter({
    name: 'mvm_agentd_network_verifications_total',
    help: 'Verifications of the network by result (in_line, drift, failed).',
    labelNames: ['result'],
    registers,
  });
  const networkSeconds = new Histogram({
    name: 'mvm_agentd_network_verify_seconds',
    help: 'Duration of verifications of the network, as hostd measures it.',
    buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 5],
    registers,
  });

  const setInstances = createInstanceMetrics(registry);

  return {
    passEnded(pass, report) {
      passes.inc({ trigger: pass.trigger, result: pass.error === null ? 'ok' : 'failed' });
      passSeconds.observe(pass.duration_ms / 1000);
      hostdUp.set(pass.error === null ? 1 : 0);
      converged.set(report.converged ? 1 : 0);
      for (const kind of PROBLEM_KINDS) {
        problems.set({ kind }, report.problems.filter((problem) => problem.kind === kind).length);
      }
    },
    actionEnded({ action, error, durationMs }) {
      actions.inc({ kind: action.kind, result: error?.code ?? 'ok' });
      actionSeconds.observe({ kind: action.kind }, durationMs / 1000);
    },
    observed(host) {
      for (const status of instanceStatusSchema.options) {
        if (status === 'destroyed') continue;
        instances.set({ status }, host.instances.filter((view) => view.status === status).length);
      }
    },
    networkVerified(report, oldestSeconds) {
      for (const { object, drifts } of report.kinds) networkDrifts.set({ object }, drifts);
      networkDriftAge.set(oldestSeconds);
      networkVerifications.inc({ result: report.drift_count === 0 ? 'in_line' : 'drift' });
      networkSeconds.observe(report.duration_ms / 1000);
    },
    networkNotVerified() {
      networkVerifications.inc({ result: 'failed' });
    },
    hostSeen(seen) {
      hostdUp.set(seen === null ? 0 : 1);
      setInstances(seen);
    },
    describe() {
      // prom-client keeps the labels' names where its types do not show them.
      const all = registry.getMetricsAsArray() as unknown as (Omit<MetricFamily, 'type' | 'labels'> & {
        labelNames: readonly string[];
      })[];
      return all
        .filter(({ name }) => name.startsWith('mvm_'))
        .map((family) => ({
          name: family.name,
          type: family.constructor.name.toLowerCase(),
          labels: family.labelNames,
          help: family.help,
        }))
        .sort((a, b) => (a.name < b.name ? -1 : 1));
    },
    async render() {
      return { text: await registry.metrics(), contentType: registry.contentType };
    },
  };
}
