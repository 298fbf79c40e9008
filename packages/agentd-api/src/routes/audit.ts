import { auditEntryViewSchema, auditReportViewSchema } from '@mvm/protocol/schemas';
import { z } from 'zod';
import { none, ofTenant, tenant, wholeNumber } from './parameters.js';
import type { RouteDefinition } from './route.js';

/** Routes for the audit logs. */
export const auditRoutes = {
  getAuditLog: {
    method: 'GET',
    path: '/v1/tenants/:tenant/audit',
    summary:
      "A page of a tenant's audit log, oldest entry first, from `since` (RFC 3339) on; a removed tenant's too.",
    params: ofTenant,
    query: z.strictObject({
      since: z.string().max(64).optional(),
      /** The `next_cursor` of the page before. */
      cursor: z.string().max(512).optional(),
      limit: wholeNumber(z.int().min(1).max(500)).default(500),
    }),
    body: null,
    response: z.object({ entries: z.array(auditEntryViewSchema), next_cursor: z.string().nullable() }),
    format: 'json',
  },
  verifyAudit: {
    method: 'GET',
    path: '/v1/audit/reports',
    summary: "Goes through one tenant's audit log, or through all of them, and names what is wrong in them.",
    params: none,
    query: z.strictObject({ tenant: tenant.optional() }),
    body: null,
    response: z.object({ reports: z.array(auditReportViewSchema) }),
    format: 'json',
  },
} as const satisfies Record<string, RouteDefinition>;
