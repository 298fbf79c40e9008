import { createReadStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { type AuditHead, parseLine, sha256Of, splitLines, verifyAuditLog } from '@mvm/audit-log';
import { syncDirectory } from './atomic-file.js';
import { type AuditPaths, readHead } from './audit-file.js';

/** The part of a log that is older than its retention. */
export interface OldPart {
  /** The last entry of it. */
  readonly last: AuditHead;
  readonly lines: number;
  readonly bytes: number;
}

/**
 * What of a log may be removed: its lines up to the first entry of `cutoffMs` or later; null when there is nothing.
 * Throws when the log does not verify: letting go of a part would make what is wrong with it unprovable.
 */
export async function findOldPart(
  paths: AuditPaths,
  tenantId: string,
  cutoffMs: number,
): Promise<OldPart | null> {
  if ((await firstTime(paths.log)) >= cutoffMs) return null;
  const report = await verifyAuditLog(createReadStream(paths.log), {
    tenantId,
    head: await readHead(paths.head),
  });
  if (report.problemCount > 0) throw new Error(`the log does not verify: ${report.problems[0]?.message}`);
  let last: AuditHead | null = null;
  let lines = 0;
  let bytes = 0;
  let seen = 0;
  for await (const line of splitLines(createReadStream(paths.log))) {
    seen += 1;
    const entry = parseLine(line.bytes);
    if (entry === null) continue;
    if (!(Date.parse(entry.at) < cutoffMs)) break;
    last = { seq: entry.seq, sha256: sha256Of(line.bytes) };
    lines = seen;
    bytes = line.offset + line.bytes.length + 1;
  }
  return last === null ? null : { last, lines, bytes };
}

/** Replace a log by what follows its first `bytes` bytes; after a crash it is the whole one or the shorter one. */
export async function cutFront(path: string, bytes: number): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.tmp-${process.pid}-0`);
  const file = await open(temporary, 'w', 0o600);
  try {
    try {
      for await (const piece of createReadStream(path, { start: bytes }))
        await file.writeFile(piece as Buffer);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** Time of a log's first entry in milliseconds; the beginning of time when its first line is no entry. */
async function firstTime(path: string): Promise<number> {
  for await (const line of splitLines(createReadStream(path))) {
    const at = parseLine(line.bytes)?.at;
    return at === undefined ? 0 : Date.parse(at);
  }
  return Number.POSITIVE_INFINITY;
}
