import { createHash } from 'node:crypto';
import { z } from 'zod';
import { type AuditEntry, auditEntrySchema, type ChainPosition } from './entry.js';

const LINE_FEED = 0x0a;
const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/);
const lineSchema = auditEntrySchema.extend({ seq: z.int().min(1), prev: sha256Hex });
const headSchema = z.strictObject({ seq: z.int().min(1), sha256: sha256Hex });

/** A line of a chain, decoded. */
export type ChainedEntry = AuditEntry & ChainPosition;

/** What `audit.head` says: how many entries there have been, and the hash of the last one's line. */
export interface AuditHead {
  readonly seq: number;
  readonly sha256: string;
}

/** sha256 as 64 lower-case hexadecimal digits. */
export function sha256Of(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** What the first line of a tenant's chain has as `prev`: no other tenant's log can take its place. */
export function genesisHash(tenantId: string): string {
  return sha256Of(`mvm audit log 1\n${tenantId}\n`);
}

/** A line without its line feed, and its hash. The fields' order is fixed; `JSON.stringify` keeps it on one line. */
export function renderLine(position: ChainPosition, entry: AuditEntry): { line: Buffer; sha256: string } {
  const { seq, prev } = position;
  const line = Buffer.from(JSON.stringify({ seq, prev, ...entry }), 'utf8');
  return { line, sha256: sha256Of(line) };
}

/** The entry in a line (without line feed), or null when the line is not one of a chain. */
export function parseLine(line: Uint8Array): ChainedEntry | null {
  const result = lineSchema.safeParse(jsonOf(line));
  return result.success ? result.data : null;
}

/** The entry in a line from before there was a chain, or null when it is not one of ours. */
export function parseUnchainedLine(line: Uint8Array): AuditEntry | null {
  const result = auditEntrySchema.safeParse(jsonOf(line));
  return result.success ? result.data : null;
}

/** The text of a head file. */
export function renderHead(head: AuditHead): string {
  return `${JSON.stringify({ seq: head.seq, sha256: head.sha256 })}\n`;
}

/** The head in a file's text, or null when it is damaged. */
export function parseHead(text: string): AuditHead | null {
  const result = headSchema.safeParse(jsonOf(Buffer.from(text, 'utf8')));
  return result.success && renderHead(result.data) === text ? result.data : null;
}

function jsonOf(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return undefined;
  }
}

/** A line of a file as it stands there. */
export interface RawLine {
  readonly bytes: Buffer;
  /** Where it begins. */
  readonly offset: number;
  /** False for what follows the last line feed. */
  readonly whole: boolean;
}

/** The lines of a file, in any chunking; each is held in memory, none but the present one. */
export async function* splitLines(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<RawLine> {
  let pieces: Buffer[] = [];
  let offset = 0;
  for await (const chunk of chunks) {
    let rest = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    for (let end = rest.indexOf(LINE_FEED); end >= 0; end = rest.indexOf(LINE_FEED)) {
      const bytes = Buffer.concat([...pieces, rest.subarray(0, end)]);
      yield { bytes, offset, whole: true };
      offset += bytes.length + 1;
      pieces = [];
      rest = rest.subarray(end + 1);
    }
    if (rest.length > 0) pieces.push(rest);
  }
  if (pieces.length > 0) yield { bytes: Buffer.concat(pieces), offset, whole: false };
}
