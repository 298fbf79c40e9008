import type { Pass } from '@mvm/agentd-api';
import { instanceStatusSchema } from '@mvm/protocol';
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import type { ActionOutcome } from '../reconcile/execute.js';
import type { ReconcileReport } from '../reconcile/loop.js';
import type { ObservedHost } from '../reconcile/types.js';

const PROBLEM_KINDS = [
  'blocked',
  'backoff',
  'hold',
  'waiting',
  'unsupported',
  'unmanaged',
  'protected',
] as const;

/** agentd's metrics, as `GET /metrics` shows them. Each is written in one place. */
export interface Metrics {
  passEnded(pass: Pass, report: ReconcileReport): void;
  actionEnded(outcome: ActionOutcome): void;
  observed(host: ObservedHost): void;
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
    help: '1 when the last pass could talk to hostd in a version that it understands, else 0.',
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
    async render() {
      return { text: await registry.metrics(), contentType: registry.contentType };
    },
  };
}
