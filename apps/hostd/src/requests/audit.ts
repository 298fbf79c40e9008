import { type AuditEntryView, type AuditReportView, CodedError } from '@mvm/protocol';
import { parseTenantId } from '@mvm/protocol/names';
import type { AuditLog, PlacedEntry } from '../state/audit-log.js';
import type { RequestHandler } from './handler.js';
import { isAfter, jsonBytes, PAGE_BYTES, parseCursor } from './page.js';

const DEFAULT_ENTRIES = 500;
/** Reports on a page: each may list its problems. */
const MAX_REPORTS = 25;

function noLog(tenantId: string): CodedError {
  return new CodedError({
    code: 'not_found',
    reason: 'audit.not_found',
    message: `there is no audit log of tenant ${tenantId}`,
    hint: 'mvm audit verify names every tenant that has one, the removed ones too.',
  });
}

/** An entry as it crosses the socket: known fields only. */
function entryView({ seq, entry }: PlacedEntry): AuditEntryView {
  const { peer } = entry;
  return {
    seq,
    at: entry.at,
    op_id: entry.op_id,
    operation: entry.operation,
    tenant_id: entry.tenant_id,
    pool_id: entry.pool_id,
    instance_id: entry.instance_id,
    peer: peer === null ? null : { pid: peer.pid, uid: peer.uid, gid: peer.gid },
    result: entry.result,
    code: entry.code,
    reason: entry.reason,
    message: entry.message,
    duration_ms: Math.max(0, Math.round(entry.duration_ms)),
    details: { ...entry.details },
  };
}

/** Where a page went on to: the place of its last entry. Throws `invalid_argument`, reason `page.invalid_cursor`. */
function parsePlace(cursor: string): { chained: boolean; number: number } {
  const match = /^([su])(\d{1,15})$/.exec(cursor);
  if (match !== null) return { chained: match[1] === 's', number: Number(match[2]) };
  throw new CodedError({
    code: 'invalid_argument',
    reason: 'page.invalid_cursor',
    message: 'the cursor is not one that this request has answered',
    hint: 'Begin again without a cursor.',
  });
}

/** Whether an entry comes after a place; what was there before the chain comes first. */
function comesAfter(place: string, after: ReturnType<typeof parsePlace>): boolean {
  const { chained, number } = parsePlace(place);
  return chained === after.chained ? number > after.number : chained;
}

function parseSince(text: string): number {
  const ms = Date.parse(text);
  if (!Number.isNaN(ms)) return ms;
  throw new CodedError({
    code: 'invalid_argument',
    reason: 'audit.invalid_time',
    message: 'since is not a time',
    hint: 'Use RFC 3339, e.g. 2026-11-25T08:00:00Z.',
  });
}

export const auditLog: RequestHandler<'AuditLog'> = async (request, { audit }) => {
  const tenantId = parseTenantId(request.tenant_id);
  const sinceMs = request.since == null ? null : parseSince(request.since);
  const after = request.cursor == null ? null : parsePlace(request.cursor);
  const limit = request.limit ?? DEFAULT_ENTRIES;
  if (!(await audit.tenants()).includes(tenantId)) throw noLog(tenantId);
  const entries: AuditEntryView[] = [];
  let bytes = 0;
  let last = '';
  for await (const placed of audit.entries(tenantId)) {
    if (after !== null && !comesAfter(placed.place, after)) continue;
    if (sinceMs !== null && Date.parse(placed.entry.at) < sinceMs) continue;
    const view = entryView(placed);
    bytes += jsonBytes(view) + 1;
    if (entries.length > 0 && (entries.length >= limit || bytes > PAGE_BYTES)) {
      return { type: 'AuditEntries', entries, next_cursor: last };
    }
    entries.push(view);
    last = placed.place;
  }
  return { type: 'AuditEntries', entries, next_cursor: null };
};

async function reportOf(audit: AuditLog, tenantId: string): Promise<AuditReportView | null> {
  const report = await audit.verify(tenantId);
  if (report === null) return null;
  return {
    tenant_id: tenantId,
    lines: report.lines,
    unchained_lines: report.unchainedLines,
    first_seq: report.firstSeq,
    last_seq: report.lastSeq,
    head: report.head,
    problems: report.problems.map(({ line, reason, message }) => ({ line, reason, message })),
    problem_count: report.problemCount,
  };
}

export const verifyAudit: RequestHandler<'VerifyAudit'> = async (request, { audit }) => {
  if (request.tenant_id != null) {
    const tenantId = parseTenantId(request.tenant_id);
    const report = await reportOf(audit, tenantId);
    if (report === null) throw noLog(tenantId);
    return { type: 'AuditReports', reports: [report], next_cursor: null };
  }
  const after = request.cursor == null ? null : parseCursor(request.cursor, 1);
  const limit = Math.min(request.limit ?? MAX_REPORTS, MAX_REPORTS);
  const reports: AuditReportView[] = [];
  for (const id of await audit.tenants()) {
    if (after !== null && !isAfter([id], after)) continue;
    if (reports.length === limit) {
      return { type: 'AuditReports', reports, next_cursor: reports.at(-1)?.tenant_id ?? null };
    }
    const report = await reportOf(audit, id);
    if (report !== null) reports.push(report);
  }
  return { type: 'AuditReports', reports, next_cursor: null };
};
