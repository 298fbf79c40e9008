import { createReadStream, fstatSync } from 'node:fs';
import { type FileHandle, readdir, stat } from 'node:fs/promises';
import {
  type AuditEntry,
  type AuditVerification,
  LOG_OPERATIONS,
  parseLine,
  parseUnchainedLine,
  splitLines,
  verifyAuditLog,
} from '@mvm/audit-log';
import { isValidId } from '@mvm/protocol/names';
import {
  type AuditEnd,
  type AuditPaths,
  appendLine,
  inspectLog,
  openLog,
  readHead,
  writeHead,
} from './audit-file.js';
import { cutFront, findOldPart } from './audit-retention.js';
import { exists } from './exists.js';
import { errnoOf, fromFileError } from './fs-error.js';
import type { Layout } from './layout.js';

/** An entry with its place: `s<seq>` in the chain, `u<n>` for the n-th line before there was one. */
export interface PlacedEntry {
  readonly place: string;
  readonly seq: number | null;
  readonly entry: AuditEntry;
}

/** Where entries go. */
export interface AuditSink {
  /**
   * Append one line, make it durable, then its head, and return. `onDurable` is called between the two: from then on
   * what the line says may be done, though not answered yet. A tenant without a directory has no log: nothing is written
   * for it, so that made-up names cannot fill the disk. On error the log is as it was before, or holds the line and
   * its head is written by the next append.
   */
  append(entry: AuditEntry, onDurable?: () => void): Promise<void>;
}

export interface AuditLog extends AuditSink {
  /** Put right what a killed hostd left in the logs of all tenants. A log that cannot be is reported and left. */
  repair(at: string): Promise<void>;
  /** Ids of all tenants that have a log, the removed ones too, sorted. */
  tenants(): Promise<string[]>;
  /** Go through a tenant's log; null when there is none. Never between a line and its head. */
  verify(tenantId: string): Promise<AuditVerification | null>;
  /** The entries of a tenant's log in their order, as it is now; lines that are no entries are left out. */
  entries(tenantId: string): AsyncGenerator<PlacedEntry>;
}

export interface AuditLogOptions {
  /** How many days entries are kept; 0 and null: for ever. */
  readonly retentionDays?: (tenantId: string) => number | null;
  /** Whether the wall clock may be believed: while it may not, nothing is removed for its age. Absent: it may. */
  readonly isClockSteady?: () => boolean;
  /** Told when a log could not be put right or shortened; nothing else depends on it. */
  readonly onProblem?: (tenantId: string, error: unknown) => void;
}

const DAY_MS = 86_400_000;

/**
 * Audit logs of all tenants. Format and proofs: docs/audit.md.
 *
 * INVARIANTS
 * - Lines are only ever added, one at a time per tenant, each with the hash of the one before it.
 * - The line is durable before the head says so, and the head before anybody is answered.
 * - Before old entries are removed, an entry records that, and only when the whole log verifies.
 */
export function createAuditLog(layout: Layout, options: AuditLogOptions = {}): AuditLog {
  const { retentionDays = () => null, isClockSteady = () => true, onProblem = () => {} } = options;
  const queues = new Map<string, Promise<unknown>>();
  const ends = new Map<string, AuditEnd>();
  /** When a log's age was last looked at, by the process's own clock. */
  const agesSeen = new Map<string, number>();

  const pathsOf = (tenantId: string): AuditPaths => ({
    log: layout.auditLog(tenantId),
    head: layout.auditHead(tenantId),
  });

  /** One piece of work per tenant at a time, in order of arrival. */
  function inTurn<T>(tenantId: string, work: () => Promise<T>): Promise<T> {
    const mine = (queues.get(tenantId) ?? Promise.resolve()).then(work);
    const tail = mine.catch(() => {});
    queues.set(tenantId, tail);
    void tail.then(() => {
      if (queues.get(tenantId) === tail) queues.delete(tenantId);
    });
    return mine;
  }

  /** The end of an open log, with everything written that has to come first. */
  async function settledEnd(file: FileHandle, tenantId: string, at: string): Promise<AuditEnd> {
    const { head } = pathsOf(tenantId);
    const known = ends.get(tenantId);
    if (known !== undefined && fstatSync(file.fd).size === known.size) return known;
    const found = await inspectLog(file, head, tenantId);
    if (found.headDue !== null) await writeHead(head, found.headDue);
    let end: AuditEnd = { ...found, headDue: null };
    for (const { operation, details } of found.repairs) {
      end = await appendLine(file, head, end, ownEntry(tenantId, operation, at, details));
    }
    return end;
  }

  async function write(
    tenantId: string,
    at: string,
    entry: AuditEntry | null,
    onDurable?: () => void,
  ): Promise<void> {
    const { log, head } = pathsOf(tenantId);
    try {
      await stat(layout.tenantDir(tenantId));
      const file = await openLog(log);
      try {
        let end = await settledEnd(file, tenantId, at);
        ends.delete(tenantId);
        if (entry !== null) end = await appendLine(file, head, end, entry, onDurable);
        ends.set(tenantId, end);
      } finally {
        await file.close();
      }
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return;
      throw fromFileError(error, `cannot write ${log}`);
    }
  }

  async function prune(tenantId: string, at: string): Promise<void> {
    const days = retentionDays(tenantId) ?? 0;
    const seen = agesSeen.get(tenantId);
    if (days <= 0 || (seen !== undefined && performance.now() - seen < DAY_MS)) return;
    if (!isClockSteady()) return;
    agesSeen.set(tenantId, performance.now());
    const paths = pathsOf(tenantId);
    const old = await findOldPart(paths, tenantId, Date.parse(at) - days * DAY_MS);
    if (old === null) return;
    const { last, lines, bytes } = old;
    const details = { last_seq: last.seq, last_sha256: last.sha256, lines, retention_days: days };
    await write(tenantId, at, ownEntry(tenantId, LOG_OPERATIONS.pruned, at, details));
    ends.delete(tenantId);
    await cutFront(paths.log, bytes);
  }

  async function tenants(): Promise<string[]> {
    const found: string[] = [];
    for (const id of (await readdir(layout.tenantsDir)).filter(isValidId).sort()) {
      const { log, head } = pathsOf(id);
      if ((await exists(log)) || (await exists(head))) found.push(id);
    }
    return found;
  }

  return {
    append: (entry, onDurable) =>
      inTurn(entry.tenant_id, async () => {
        const { tenant_id, at } = entry;
        await write(tenant_id, at, entry, onDurable);
        await prune(tenant_id, at).catch((error: unknown) => onProblem(tenant_id, error));
      }),
    repair: async (at) => {
      for (const id of await tenants()) {
        await inTurn(id, () => write(id, at, null)).catch((error: unknown) => onProblem(id, error));
      }
    },
    tenants,
    verify: (tenantId) =>
      inTurn(tenantId, async () => {
        const { log, head } = pathsOf(tenantId);
        const isThere = await exists(log);
        if (!isThere && !(await exists(head))) return null;
        try {
          return await verifyAuditLog(isThere ? createReadStream(log) : nothing(), {
            tenantId,
            head: await readHead(head),
          });
        } catch (error) {
          throw fromFileError(error, `cannot read ${log}`);
        }
      }),
    entries: (tenantId) => readEntries(pathsOf(tenantId).log),
  };
}

async function* readEntries(path: string): AsyncGenerator<PlacedEntry> {
  let unchained = 0;
  try {
    for await (const { bytes, whole } of splitLines(createReadStream(path))) {
      if (!whole) return;
      const chained = parseLine(bytes);
      if (chained !== null) {
        const { seq, prev: _, ...entry } = chained;
        yield { place: `s${seq}`, seq, entry };
        continue;
      }
      unchained += 1;
      const entry = parseUnchainedLine(bytes);
      if (entry !== null) yield { place: `u${unchained}`, seq: null, entry };
    }
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return;
    throw fromFileError(error, `cannot read ${path}`);
  }
}

function ownEntry(
  tenantId: string,
  operation: string,
  at: string,
  details: NonNullable<AuditEntry['details']>,
): AuditEntry {
  return {
    at,
    op_id: '',
    operation,
    tenant_id: tenantId,
    pool_id: null,
    instance_id: null,
    peer: null,
    result: 'ok',
    code: null,
    reason: null,
    message: null,
    duration_ms: 0,
    details,
  };
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
