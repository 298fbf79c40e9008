import { open, stat } from 'node:fs/promises';
import { errnoOf, fromFileError } from './fs-error.js';
import type { Layout } from './layout.js';

/** One line of a tenant's audit log: who asked for what, and how it ended. */
export interface AuditEntry {
  /** RFC 3339, UTC: when the operation ended. */
  readonly at: string;
  readonly op_id: string;
  readonly operation: string;
  readonly tenant_id: string;
  readonly pool_id: string | null;
  readonly instance_id: string | null;
  /** Who asked; null when hostd acted by itself (a VM that ended, recovery). */
  readonly peer: { readonly pid: number; readonly uid: number; readonly gid: number } | null;
  readonly result: 'ok' | 'error';
  readonly code: string | null;
  readonly reason: string | null;
  readonly message: string | null;
  readonly duration_ms: number;
}

export interface AuditLog {
  /**
   * Append one line and make it durable before returning. A tenant without a directory has no log: nothing is written
   * for it, so that made-up names cannot fill the disk. On error the log is as it was before.
   */
  append(entry: AuditEntry): Promise<void>;
}

/**
 * Audit logs of all tenants.
 *
 * INVARIANTS
 * - Lines are only ever added, one at a time per tenant, and whole: a line that does not fit is taken back.
 */
export function createAuditLog(layout: Layout): AuditLog {
  const tails = new Map<string, Promise<void>>();
  const appendNow = async (entry: AuditEntry): Promise<void> => {
    const path = layout.auditLog(entry.tenant_id);
    try {
      await stat(layout.tenantDir(entry.tenant_id));
      const file = await open(path, 'a', 0o600);
      try {
        const { size } = await file.stat();
        try {
          await file.appendFile(`${JSON.stringify(entry)}\n`);
          await file.sync();
        } catch (error) {
          await file.truncate(size).catch(() => {});
          throw error;
        }
      } finally {
        await file.close();
      }
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return;
      throw fromFileError(error, `cannot write ${path}`);
    }
  };
  return {
    append: (entry) => {
      const before = tails.get(entry.tenant_id) ?? Promise.resolve();
      const mine = before.then(() => appendNow(entry));
      const tail = mine.catch(() => {});
      tails.set(entry.tenant_id, tail);
      void tail.then(() => {
        if (tails.get(entry.tenant_id) === tail) tails.delete(entry.tenant_id);
      });
      return mine;
    },
  };
}
