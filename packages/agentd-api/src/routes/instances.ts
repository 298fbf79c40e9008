import { logChunkSchema } from '@mvm/protocol/schemas';
import { z } from 'zod';
import { operation } from './operation.js';
import { dryRun, flag, holding, ofInstance, wholeNumber } from './parameters.js';
import type { RouteDefinition } from './route.js';

/** How long a guest may shut down, and whether it is asked to. */
const shutdown = {
  /** End the VM at once. */
  force: flag.default(false),
  /** How long the guest may shut down, 0…86 400 seconds; absent: the pool's. */
  shutdown_timeout_secs: wholeNumber(z.int().min(0).max(86_400)).optional(),
};
const shutdownTime = { field: 'shutdown_timeout_secs', policy: 'graceful_shutdown_seconds' } as const;

/** Routes for the operations on one instance: each carries out the method of the contract that it names. */
export const operationRoutes = {
  startInstance: operation(
    'StartInstance',
    'Start an instance, and keep it running until the hold ends, beside what the pool wants; success when it runs already.',
    { query: holding, hold: 'manual_run' },
  ),
  stopInstance: operation(
    'StopInstance',
    'Let the guest of an instance shut down, stop it and hold its slot: agentd neither starts nor replaces it until the hold ends.',
    {
      query: z.strictObject({ ...holding.shape, ...shutdown }),
      hold: 'manual_stop',
      guestTime: shutdownTime,
    },
  ),
  sleepInstance: operation(
    'SleepInstance',
    'Drain an instance, keep its memory on disk and end its VM; its slot is held as after a manual stop.',
    {
      query: holding,
      body: z.strictObject({
        /** Do not let the guest drain first. */
        force: z.boolean().default(false),
        /** How long the guest may drain, 0…86 400 seconds; null or absent: the pool's. */
        drain_timeout_secs: z.int().min(0).max(86_400).nullish(),
      }),
      hold: 'manual_sleep',
      guestTime: { field: 'drain_timeout_secs', policy: 'drain_timeout_seconds' },
    },
  ),
  wakeInstance: operation(
    'WakeInstance',
    'Let a sleeping instance run on where it was put to sleep, and keep it running until the hold ends, beside what the pool wants; success when it runs already.',
    { query: holding, hold: 'manual_run' },
  ),
  warmInstance: operation(
    'WarmInstance',
    "Stop an instance's vCPUs and keep its memory; its slot is held as after a manual stop.",
    { query: holding, hold: 'manual_warm' },
  ),
  resumeInstance: operation(
    'ResumeInstance',
    'Let a warm instance run on, and keep it running until the hold ends, beside what the pool wants; success when it runs already.',
    { query: holding, hold: 'manual_run' },
  ),
  rebootInstance: operation(
    'RebootInstance',
    'Let the guest of an instance shut down, and boot it again with its disks and its address; a hold that keeps it running stays.',
    { query: z.strictObject({ ...dryRun, ...shutdown }), guestTime: shutdownTime },
  ),
  destroyInstance: operation(
    'DestroyInstance',
    'Destroy an instance; with `wipe_volumes` its data is overwritten first. The pool may create another.',
    { query: z.strictObject({ ...dryRun, wipe_volumes: flag.default(false) }) },
  ),
} as const;

/** Routes for one instance. */
export const instanceRoutes = {
  ...operationRoutes,
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
