import { z } from 'zod';

/** One entry of a tenant's audit log: who asked for what, and how it ended. */
export const auditEntryViewSchema = z.object({
  /** Its number in the chain, from 1; null for one that was written before there was a chain. */
  seq: z.int().min(1).nullable(),
  /** RFC 3339, UTC: when the operation ended. */
  at: z.string(),
  op_id: z.string(),
  operation: z.string(),
  tenant_id: z.string(),
  pool_id: z.string().nullable(),
  instance_id: z.string().nullable(),
  /** Null when hostd acted by itself. */
  peer: z.object({ pid: z.int(), uid: z.int(), gid: z.int() }).nullable(),
  result: z.enum(['ok', 'error']),
  code: z.string().nullable(),
  reason: z.string().nullable(),
  message: z.string().nullable(),
  duration_ms: z.int().min(0),
  /** What else there is to know, e.g. `drain`: how the guest's drain ended. */
  details: z.record(z.string(), z.union([z.string(), z.number()])),
});
export type AuditEntryView = z.infer<typeof auditEntryViewSchema>;

/** What going through a tenant's audit log found. */
export const auditReportViewSchema = z.object({
  tenant_id: z.string(),
  lines: z.int().min(0),
  /** Lines before the chain begins, which its first entry vouches for as a whole. */
  unchained_lines: z.int().min(0),
  first_seq: z.int().min(1).nullable(),
  last_seq: z.int().min(1).nullable(),
  /** How the log's end compares with what is recorded of it; `none`: nothing is. */
  head: z.enum(['matches', 'one_behind', 'none', 'bad']),
  /** In the order of lines, at most 20. */
  problems: z.array(z.object({ line: z.int().min(1).nullable(), reason: z.string(), message: z.string() })),
  problem_count: z.int().min(0),
});
export type AuditReportView = z.infer<typeof auditReportViewSchema>;
