import { z } from 'zod';
import { tenantNetSchema } from '../tenant-net.js';
import { u64Schema } from '../wire-integers.js';

const instanceAddress = { tenant_id: z.string(), pool_id: z.string(), instance_id: z.string() };

/**
 * The eight requests of version 1, by tag; null for one without fields. Strings are any strings here: the id grammar
 * is hostd's second check. Source: docs/protocol.md.
 */
export const v1RequestSchemas = {
  StartInstance: z.object(instanceAddress),
  StopInstance: z.object(instanceAddress),
  SleepInstance: z.object({
    ...instanceAddress,
    force: z.boolean(),
    /** Seconds, u64 on the wire, clamped to 2^53−1; null or absent: the pool's. */
    drain_timeout_secs: u64Schema.nullish(),
  }),
  WakeInstance: z.object(instanceAddress),
  DestroyInstance: z.object({ ...instanceAddress, wipe_volumes: z.boolean() }),
  SetupNetwork: z.object({ tenant_id: z.string(), net: tenantNetSchema }),
  TeardownNetwork: z.object({ tenant_id: z.string(), net: tenantNetSchema }),
  Ping: null,
} as const;

/** The three responses of version 1. */
export const v1ResponseSchemas = {
  Ok: null,
  Pong: null,
  Error: z.object({ message: z.string() }),
} as const;

/**
 * Fields that the requests of later mvm agents have and that would change what is done: a workspace to start in, volumes
 * to attach. Null and empty ones are taken, others refused by name, because nothing may be lost silently.
 */
export const UNSUPPORTED_FIELDS: ReadonlySet<string> = new Set(['workspace_id', 'volumes']);
