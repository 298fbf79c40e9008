import { z } from 'zod';

/**
 * How busy one VM has been since it was launched: counters that only grow, so that the difference of two answers is what
 * happened between them. Of another VM of the same instance (another `pid`), they begin at 0.
 */
export const instanceActivitySchema = z.object({
  tenant_id: z.string(),
  pool_id: z.string(),
  instance_id: z.string(),
  status: z.enum(['running', 'warm']),
  pid: z.int(),
  /** CPU time of the VMM in microseconds, the guest's included; null when the kernel does not tell. */
  cpu_usec: z.number().nullable(),
  /** What went to the guest and what came from it, frames with their headers, as its TAP counts; null without a TAP. */
  rx_bytes: z.number().nullable(),
  rx_packets: z.number().nullable(),
  tx_bytes: z.number().nullable(),
  tx_packets: z.number().nullable(),
  /** Memory of the VMM, the guest's included, as its cgroup counts it now; absent when the kernel does not tell. */
  memory_bytes: z.number().optional(),
});
export type InstanceActivity = z.infer<typeof instanceActivitySchema>;
