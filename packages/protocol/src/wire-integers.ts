import { z } from 'zod';

/** Schemas of integers that are u64 on the wire. */
const u64Schemas = z.registry<{ readonly u64: true }>();

/**
 * An unsigned 64-bit integer on the wire, 0…2^53−1 in memory: a decoder accepts up to 2^64−1 and clamps what is above
 * 2^53−1, which JavaScript could not hold exactly.
 */
export const u64Schema = z.int().min(0).register(u64Schemas, { u64: true });

/** Whether a schema is `u64Schema`. */
export function isU64Schema(schema: z.ZodType): boolean {
  return u64Schemas.has(schema);
}
