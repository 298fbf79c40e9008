import { createHash } from 'node:crypto';
import {
  type AuditHead,
  type ChainedEntry,
  genesisHash,
  parseLine,
  type RawLine,
  sha256Of,
  splitLines,
} from './chain.js';
import { LOG_OPERATIONS } from './entry.js';

/** What can be wrong with a log. */
export const AUDIT_PROBLEMS = [
  'audit.line_changed',
  'audit.not_an_entry',
  'audit.entries_missing',
  'audit.out_of_order',
  'audit.other_tenant',
  'audit.bad_start',
  'audit.bad_anchor',
  'audit.no_chain',
  'audit.torn_line',
  'audit.tail_missing',
  'audit.head_missing',
  'audit.head_damaged',
  'audit.head_mismatch',
] as const;

export interface AuditProblem {
  /** Line of the file, from 1; null for what is no line's. */
  readonly line: number | null;
  readonly reason: (typeof AUDIT_PROBLEMS)[number];
  readonly message: string;
}

export interface AuditVerification {
  /** Whose log it is: as asked, else as its first entry says; null for an empty one. */
  readonly tenantId: string | null;
  /** Lines of the file. */
  readonly lines: number;
  /** Lines before the chain begins, which the anchor vouches for as a whole. */
  readonly unchainedLines: number;
  readonly firstSeq: number | null;
  readonly lastSeq: number | null;
  /** `none`: there was none to compare with, so that entries removed at the end go unnoticed. */
  readonly head: 'matches' | 'one_behind' | 'none' | 'bad';
  /** In the order of lines, at most `MAX_AUDIT_PROBLEMS`. */
  readonly problems: readonly AuditProblem[];
  readonly problemCount: number;
}

/** Problems that a verification tells apart; more are only counted. */
const MAX_AUDIT_PROBLEMS = 20;

export interface VerifyOptions {
  /** Whose log it must be; null: whoever its first entry names. */
  readonly tenantId: string | null;
  /** `not_given`: there is nothing to compare with. Null: the file is not there. `damaged`: it is not readable. */
  readonly head: AuditHead | null | 'damaged' | 'not_given';
}

/**
 * Goes through a whole log and names everything in it that cannot have been written by hostd in that order: a changed,
 * moved, repeated, inserted or missing line, and, against the head, lines that are gone at the end. A log and a head
 * that were both rewritten from beginning to end cannot be told from true ones without a copy.
 */
export async function verifyAuditLog(
  chunks: AsyncIterable<Uint8Array>,
  options: VerifyOptions,
): Promise<AuditVerification> {
  const verifier = new Verifier(options);
  for await (const line of splitLines(chunks)) verifier.line(line);
  return verifier.end();
}

interface Link {
  readonly seq: number;
  readonly sha256: string;
  readonly prev: string;
  readonly line: number;
}

class Verifier {
  readonly #options: VerifyOptions;
  readonly #problems: AuditProblem[] = [];
  #problemCount = 0;
  #tenantId: string | null;
  #line = 0;
  #unchained = 0;
  readonly #unchainedHash = createHash('sha256');
  #unchainedBytes = 0;
  #first: Link | null = null;
  #last: Link | null = null;
  /** For a chain that begins later than with entry 1: whether an entry says that those before were removed. */
  #startVouched = true;

  constructor(options: VerifyOptions) {
    this.#options = options;
    this.#tenantId = options.tenantId;
  }

  line({ bytes, whole }: RawLine): void {
    this.#line += 1;
    if (!whole) {
      this.#add(
        'audit.torn_line',
        'the last line has no end: it was cut, or hostd was killed while writing it',
      );
      return;
    }
    const entry = parseLine(bytes);
    if (entry === null) {
      if (this.#first !== null) {
        this.#add('audit.not_an_entry', 'this line is not an entry of the chain');
        return;
      }
      this.#unchained += 1;
      this.#unchainedBytes += bytes.length + 1;
      this.#unchainedHash.update(bytes).update('\n');
      return;
    }
    const link: Link = { seq: entry.seq, prev: entry.prev, sha256: sha256Of(bytes), line: this.#line };
    if (this.#last === null) this.#begin(entry, link);
    else this.#follow(this.#last, link);
    if (entry.tenant_id !== this.#tenantId) {
      this.#add('audit.other_tenant', `the entry is of tenant ${quoted(entry.tenant_id)}`);
    }
    this.#vouch(entry);
    this.#last = link;
  }

  #begin(entry: ChainedEntry, link: Link): void {
    this.#tenantId ??= entry.tenant_id;
    this.#first = link;
    if (link.seq > 1) {
      this.#startVouched = false;
      if (this.#unchained > 0) {
        this.#add('audit.not_an_entry', `the ${this.#unchained} lines before it are not entries`);
      }
      return;
    }
    if (link.prev !== genesisHash(this.#tenantId)) {
      this.#add('audit.bad_start', 'the chain does not begin as one of this tenant does');
    }
    const isAnchor = entry.operation === LOG_OPERATIONS.anchor;
    const { bytes = 0, sha256 = '' } = isAnchor ? (entry.details ?? {}) : {};
    if (bytes !== this.#unchainedBytes || (isAnchor && sha256 !== this.#unchainedHash.digest('hex'))) {
      this.#add(
        'audit.bad_anchor',
        isAnchor
          ? 'what stands before the chain is not what stood there when the chain began'
          : `the ${this.#unchained} lines before it are not entries`,
      );
    }
  }

  #follow(last: Link, link: Link): void {
    if (link.seq === last.seq + 1) {
      if (link.prev === last.sha256) return;
      const message = `entry ${last.seq} was changed: entry ${link.seq}, in the next line, has another hash of it`;
      this.#add('audit.line_changed', message, last.line);
    } else if (link.seq > last.seq + 1) {
      this.#add('audit.entries_missing', `${entries(last.seq + 1, link.seq - 1)} missing before this line`);
    } else {
      this.#add('audit.out_of_order', `entry ${link.seq} comes after entry ${last.seq}`);
    }
  }

  #vouch({ operation, details }: ChainedEntry): void {
    if (this.#startVouched || operation !== LOG_OPERATIONS.pruned || this.#first === null) return;
    const { seq, prev } = this.#first;
    this.#startVouched = details?.last_seq === seq - 1 && details.last_sha256 === prev;
  }

  #add(reason: AuditProblem['reason'], message: string, line: number | null = this.#line): void {
    this.#problemCount += 1;
    if (this.#problems.length < MAX_AUDIT_PROBLEMS) this.#problems.push({ line, reason, message });
  }

  end(): AuditVerification {
    if (!this.#startVouched && this.#first !== null) {
      const { seq, line } = this.#first;
      this.#add('audit.bad_start', `${entries(1, seq - 1)} gone, and no later entry says why`, line);
    }
    // hostd puts an anchor after such lines before it writes its first entry: until then nothing vouches for them.
    if (this.#first === null && this.#unchained > 0) {
      this.#add(
        'audit.no_chain',
        'no line is an entry of a chain: nothing shows that they were not changed',
        null,
      );
    }
    const head = this.#compareHead();
    return {
      tenantId: this.#tenantId,
      lines: this.#line,
      unchainedLines: this.#unchained,
      firstSeq: this.#first?.seq ?? null,
      lastSeq: this.#last?.seq ?? null,
      head,
      problems: this.#problems,
      problemCount: this.#problemCount,
    };
  }

  /** hostd writes the line first and then the head, so that a crash in between leaves the head one behind. */
  #compareHead(): AuditVerification['head'] {
    const { head } = this.#options;
    const last = this.#last;
    if (head === 'not_given') return 'none';
    if (head === 'damaged') {
      this.#add(
        'audit.head_damaged',
        'the head file is not readable: missing entries at the end would not show',
        null,
      );
      return 'bad';
    }
    if (head === null) {
      if (last === null) return 'matches';
      if (last.seq === 1) return 'one_behind';
      this.#add(
        'audit.head_missing',
        'there is no head file: missing entries at the end would not show',
        null,
      );
      return 'bad';
    }
    const lastSeq = last?.seq ?? 0;
    if (last !== null && head.seq === lastSeq - 1 && head.sha256 === last.prev) return 'one_behind';
    if (last !== null && head.seq === lastSeq && head.sha256 === last.sha256) return 'matches';
    if (last !== null && head.seq === lastSeq) {
      this.#add(
        'audit.line_changed',
        `entry ${lastSeq} was changed: the head has another hash of it`,
        last.line,
      );
    } else if (head.seq > lastSeq) {
      this.#add('audit.tail_missing', `${entries(lastSeq + 1, head.seq)} missing at the end`, null);
    } else {
      const message = `the head is of entry ${head.seq}, and the log ends with entry ${lastSeq}`;
      this.#add('audit.head_mismatch', message, null);
    }
    return 'bad';
  }
}

function entries(from: number, to: number): string {
  return from === to ? `entry ${from} is` : `entries ${from} to ${to} are`;
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 80));
}
