import { z } from 'zod';

/** One entry of a tenant's audit log: who asked for what, and how it ended. */
export const auditEntrySchema = z.object({
  /** RFC 3339, UTC: when the operation ended. */
  at: z.string(),
  op_id: z.string(),
  operation: z.string(),
  tenant_id: z.string(),
  pool_id: z.string().nullable(),
  instance_id: z.string().nullable(),
  /** Who asked; null when hostd acted by itself (a VM that ended, recovery, the log's own entries). */
  peer: z.object({ pid: z.int(), uid: z.int(), gid: z.int() }).nullable(),
  result: z.enum(['ok', 'error']),
  code: z.string().nullable(),
  reason: z.string().nullable(),
  message: z.string().nullable(),
  duration_ms: z.number(),
  /** What else there is to know, e.g. how a drain ended; absent in logs of before there was a chain. */
  details: z.record(z.string(), z.union([z.string(), z.number()])).optional(),
});
export type AuditEntry = z.infer<typeof auditEntrySchema>;

/** Where a line stands in its chain. */
export interface ChainPosition {
  /** Number of the entry, from 1. */
  readonly seq: number;
  /** sha256 of the exact bytes of the line before, without its line feed; of the first line: `genesisHash`. */
  readonly prev: string;
}

/**
 * Entries that the log makes of itself, by their `operation`:
 * - `audit_anchor`: `details.bytes` bytes without a chain stand before it, with the hash `details.sha256`.
 * - `audit_mended`: something was put right; `details.cause` says what.
 * - `audit_pruned`: entries up to `details.last_seq` may be gone; the last of them had the hash `details.last_sha256`.
 */
export const LOG_OPERATIONS = {
  anchor: 'audit_anchor',
  mended: 'audit_mended',
  pruned: 'audit_pruned',
} as const;
