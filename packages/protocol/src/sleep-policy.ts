import { z } from 'zod';

const seconds = z.int().min(0).max(31_536_000);

/**
 * When the instances of a pool are idle, and what agentd does with idle ones. The first four fields, their units and their
 * defaults are those of the desired state that version 1 peers write. An instance is idle while its VMM uses at most
 * `cpu_threshold` and its TAP carries at most `net_bytes_threshold`; times count from the last look at which it was not.
 * Source: docs/scale-to-zero.md.
 */
export const sleepPolicySchema = z.strictObject({
  /** Idle for so long: its vCPUs are stopped, and its memory stays. Null: never, it goes straight to sleep. */
  warm_threshold_secs: seconds.nullable().default(300),
  /** Idle for so long, the time in which it is warm included: it is put to sleep. Null: never. */
  sleep_threshold_secs: seconds.nullable().default(900),
  /** Percent of one host CPU that the VMM of an idle instance uses at most, averaged over the time between two looks. */
  cpu_threshold: z.number().min(0).max(6400).default(5),
  /** Bytes per second, both directions together, that the TAP of an idle instance carries at most, averaged as above. */
  net_bytes_threshold: z.int().min(0).max(1_000_000_000_000).default(1024),
  /** So many of the pool's instances run on, however idle they are. */
  min_running: z.int().min(0).max(100).default(0),
  /** Whether a connection to a published TCP port wakes an instance when none of the pool runs. */
  wake_on_connect: z.boolean().default(true),
});
export type SleepPolicy = z.infer<typeof sleepPolicySchema>;
