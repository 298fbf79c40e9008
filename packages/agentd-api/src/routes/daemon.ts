import { desiredStateSchema, hostInfoSchema, instanceActivitySchema } from '@mvm/protocol/schemas';
import { z } from 'zod';
import { applyResultSchema, pingResultSchema, versionInfoSchema } from '../results.js';
import { desiredStatusSchema, statusSchema } from '../status.js';
import { none, operating } from './parameters.js';
import type { RouteDefinition } from './route.js';

/** Routes for agentd and its hostd, and the desired state. */
export const daemonRoutes = {
  getVersion: {
    method: 'GET',
    path: '/v1/version',
    summary: "Versions of agentd and hostd, and whether they match. Answers even when hostd doesn't.",
    params: none,
    query: none,
    body: null,
    response: versionInfoSchema,
    format: 'json',
  },
  ping: {
    method: 'GET',
    path: '/v1/ping',
    summary: 'A round trip to hostd. 503 when hostd cannot be reached.',
    params: none,
    query: none,
    body: null,
    response: pingResultSchema,
    format: 'json',
  },
  getHost: {
    method: 'GET',
    path: '/v1/host',
    summary: 'What hostd reports of itself and its host: VMM, accelerator, images, counts.',
    params: none,
    query: none,
    body: null,
    response: hostInfoSchema,
    format: 'json',
  },
  getActivity: {
    method: 'GET',
    path: '/v1/activity',
    summary:
      'How busy the VMs that run or are warm have been since they were launched: counters, whose difference between two answers is what happened between them.',
    params: none,
    query: none,
    body: null,
    response: z.object({
      activity: z.array(instanceActivitySchema),
      /** When that was, on the host's monotonic clock. */
      monotonic_ms: z.number(),
    }),
    format: 'json',
  },
  getStatus: {
    method: 'GET',
    path: '/v1/status',
    summary:
      'Desired against actual: what is converged, what is pending, what is in the way, what was done lately.',
    params: none,
    query: none,
    body: null,
    response: statusSchema,
    format: 'json',
  },
  getDesired: {
    method: 'GET',
    path: '/v1/desired',
    summary: 'The desired state in force, null when there is none.',
    params: none,
    query: none,
    body: null,
    response: desiredStatusSchema.extend({ desired: desiredStateSchema.nullable() }),
    format: 'json',
  },
  putDesired: {
    method: 'PUT',
    path: '/v1/desired',
    summary:
      'Replace the desired state, or with `dry_run` only answer what that would do. 409 when it comes from a file.',
    params: none,
    query: operating,
    body: desiredStateSchema,
    response: applyResultSchema,
    format: 'json',
  },
  reconcile: {
    method: 'POST',
    path: '/v1/reconcile',
    summary: 'Reconcile now; answers when the pass has ended.',
    params: none,
    query: none,
    body: null,
    response: statusSchema,
    format: 'json',
  },
  getMetrics: {
    method: 'GET',
    path: '/metrics',
    summary: "Metrics in Prometheus' text format.",
    params: none,
    query: none,
    body: null,
    response: z.string(),
    format: 'text',
  },
} as const satisfies Record<string, RouteDefinition>;
