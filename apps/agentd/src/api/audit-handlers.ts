import type { AuditReportView } from '@mvm/protocol';
import type { ApiContext, Handlers } from './handler-types.js';

type AuditRoute = 'getAuditLog' | 'verifyAudit';

/** Audit logs as hostd reads and verifies them; agentd cannot, and only passes on. */
export function auditHandlers({ client }: ApiContext): Handlers<AuditRoute> {
  return {
    async getAuditLog({ params, query }) {
      const { type: _, ...page } = await client.request({
        type: 'AuditLog',
        tenant_id: params.tenant,
        since: query.since ?? null,
        cursor: query.cursor ?? null,
        limit: query.limit,
      });
      return page;
    },
    async verifyAudit({ query }) {
      const reports: AuditReportView[] = [];
      let cursor: string | null = null;
      do {
        const page: { reports: AuditReportView[]; next_cursor: string | null } = await client.request({
          type: 'VerifyAudit',
          tenant_id: query.tenant ?? null,
          cursor,
        });
        reports.push(...page.reports);
        cursor = page.next_cursor;
      } while (cursor !== null);
      return { reports };
    },
  };
}
