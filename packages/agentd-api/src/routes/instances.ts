import { logChunkSchema } from '@mvm/protocol';
import { z } from 'zod';
import { operationResultSchema } from '../objects.js';
import { dryRun, flag, holding, ofInstance, wholeNumber } from './parameters.js';
import type { RouteDefinition } from './route.js';

/** Routes for operations on one instance. */
export const instanceRoutes = {
  startInstance: {
    method: 'POST',
    path: '/v1/instances/:tenant/:pool/:instance/start',
    summary:
      'Start an instance, and keep it running until the hold ends, beside what the pool wants; success when it runs already.',
    params: ofInstance,
    query: holding,
    body: null,
    response: operationResultSchema,
    format: 'json',
  },
  stopInstance: {
    method: 'POST',
    path: '/v1/instances/:tenant/:pool/:instance/stop',
    summary:
      'Let the guest of an instance shut down, stop it and hold its slot: agentd neither starts nor replaces it until the hold ends.',
    params: ofInstance,
    query: z.strictObject({
      ...holding.shape,
      /** End the VM at once. */
      force: flag.default(false),
      /** How long the guest may shut down, 0…86 400 seconds; absent: the pool's. */
      shutdown_timeout_secs: wholeNumber(z.int().min(0).max(86_400)).optional(),
    }),
    body: null,
    response: operationResultSchema,
    format: 'json',
  },
  sleepInstance: {
    method: 'POST',
    path: '/v1/instances/:tenant/:pool/:instance/sleep',
    summary:
      'Drain an instance, keep its memory on disk and end its VM; its slot is held as after a stop by hand.',
    params: ofInstance,
    query: holding,
    body: z.strictObject({
      /** Do not let the guest drain first. */
      force: z.boolean().default(false),
      /** How long the guest may drain, 0…86 400 seconds; null or absent: the pool's. */
      drain_timeout_secs: z.int().min(0).max(86_400).nullish(),
    }),
    response: operationResultSchema,
    format: 'json',
  },
  wakeInstance: {
    method: 'POST',
    path: '/v1/instances/:tenant/:pool/:instance/wake',
    summary:
      'Let a sleeping instance run on where it was put to sleep, and keep it running until the hold ends, beside what the pool wants; success when it runs already.',
    params: ofInstance,
    query: holding,
    body: null,
    response: operationResultSchema,
    format: 'json',
  },
  warmInstance: {
    method: 'POST',
    path: '/v1/instances/:tenant/:pool/:instance/warm',
    summary: "Stop an instance's vCPUs and keep its memory; its slot is held as after a stop by hand.",
    params: ofInstance,
    query: holding,
    body: null,
    response: operationResultSchema,
    format: 'json',
  },
  resumeInstance: {
    method: 'POST',
    path: '/v1/instances/:tenant/:pool/:instance/resume',
    summary:
      'Let a warm instance run on, and keep it running until the hold ends, beside what the pool wants; success when it runs already.',
    params: ofInstance,
    query: holding,
    body: null,
    response: operationResultSchema,
    format: 'json',
  },
  destroyInstance: {
    method: 'POST',
    path: '/v1/instances/:tenant/:pool/:instance/destroy',
    summary:
      'Destroy an instance; with `wipe_volumes` its data is overwritten first. The pool may create another.',
    params: ofInstance,
    query: z.strictObject({ ...dryRun, wipe_volumes: flag.default(false) }),
    body: null,
    response: operationResultSchema,
    format: 'json',
  },
  getInstanceLogs: {
    method: 'GET',
    path: '/v1/instances/:tenant/:pool/:instance/logs',
    summary: 'Bytes of a log from `offset`, or its last `max_bytes` when there is no offset.',
    params: ofInstance,
    query: z.strictObject({
      stream: z.enum(['console', 'vmm']).default('console'),
      offset: wholeNumber(z.int().min(0)).optional(),
      /** 1…262 144. */
      max_bytes: wholeNumber(z.int().min(1).max(262_144)).default(262_144),
    }),
    body: null,
    response: logChunkSchema,
    format: 'json',
  },
} as const satisfies Record<string, RouteDefinition>;
