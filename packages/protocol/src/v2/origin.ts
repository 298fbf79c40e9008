import { z } from 'zod';
import { compileShape } from '../json/shape.js';

/**
 * On whose behalf a request is sent, as its sender says: beside `request` in the envelope, and recorded in the audit log
 * beside the peer, whom the kernel names. hostd decides nothing by it.
 */
export const requestOriginSchema = z.object({
  /** The user who asked the sender, e.g. over agentd's API; null: the sender acts by itself. */
  uid: z.int().min(0).max(0xffff_ffff).nullable(),
  /** Why, in a few words, e.g. `api` or `revision 1ee869093465: …`. */
  cause: z.string().max(256),
});
export type RequestOrigin = z.infer<typeof requestOriginSchema>;

/** How an origin stands on the wire. */
export const originShape = compileShape(requestOriginSchema);
