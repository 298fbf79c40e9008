import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type AuditHead, genesisHash, parseHead, renderHead, renderLine, sha256Of } from './chain.js';
import type { AuditEntry } from './entry.js';
import { type AuditVerification, verifyAuditLog } from './verify.js';

const TENANT = 'acme';

function entry(operation: string, details?: AuditEntry['details']): AuditEntry {
  return {
    at: '2026-11-25T08:00:00.000Z',
    op_id: 'ab',
    operation,
    tenant_id: TENANT,
    pool_id: 'web',
    instance_id: 'i-1',
    peer: { pid: 1, uid: 0, gid: 0 },
    result: 'ok',
    code: null,
    reason: null,
    message: 'héllo',
    duration_ms: 3,
    ...(details === undefined ? {} : { details }),
  };
}

/** A log as hostd writes it: `legacy` lines without a chain, then a chain of `count` entries. */
function log(legacy: number, count: number): { lines: Buffer[]; head: AuditHead } {
  const lines: Buffer[] = Array.from({ length: legacy }, (_, index) => Buffer.from(`{"old":${index}}`));
  const before = Buffer.concat(lines.flatMap((line) => [line, Buffer.from('\n')]));
  let head: AuditHead = { seq: 0, sha256: genesisHash(TENANT) };
  for (let seq = 1; seq <= count; seq += 1) {
    const isAnchor = seq === 1 && legacy > 0;
    const next = isAnchor
      ? entry('audit_anchor', { bytes: before.length, sha256: sha256Of(before) })
      : entry('start');
    const { line, sha256 } = renderLine({ seq, prev: head.sha256 }, next);
    lines.push(line);
    head = { seq, sha256 };
  }
  return { lines, head };
}

const text = (lines: readonly Uint8Array[]): Buffer =>
  Buffer.concat(lines.flatMap((line) => [line, Buffer.from('\n')]));

async function* inPieces(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

const verify = (bytes: Buffer, head: AuditHead | null | 'damaged', piece = 64): Promise<AuditVerification> =>
  verifyAuditLog(inPieces(bytes, piece), { tenantId: TENANT, head });

const shape = fc.record({ legacy: fc.nat(3), count: fc.integer({ min: 2, max: 8 }) });

describe('verifyAuditLog', () => {
  it('finds nothing in a true log, however it is cut into pieces, and with the head one behind', async () => {
    await fc.assert(
      fc.asyncProperty(shape, fc.integer({ min: 1, max: 400 }), async ({ legacy, count }, piece) => {
        const { lines, head } = log(legacy, count);
        const whole = await verify(text(lines), head, piece);
        expect(whole).toMatchObject({
          problemCount: 0,
          head: 'matches',
          lines: legacy + count,
          unchainedLines: legacy,
          firstSeq: 1,
          lastSeq: count,
        });
        const behind = log(legacy, count - 1).head;
        expect(await verify(text(lines), behind, piece)).toMatchObject({
          problemCount: 0,
          head: 'one_behind',
        });
      }),
      { numRuns: 60 },
    );
  });

  it('finds every change of a single byte', async () => {
    await fc.assert(
      fc.asyncProperty(
        shape,
        fc.nat(),
        fc.integer({ min: 1, max: 255 }),
        async ({ legacy, count }, at, delta) => {
          const { lines, head } = log(legacy, count);
          const bytes = text(lines);
          const index = at % bytes.length;
          bytes.writeUInt8((bytes.readUInt8(index) + delta) & 0xff, index);
          const found = await verify(bytes, head);
          expect(found.problemCount).toBeGreaterThan(0);
          expect(found.problems[0]?.message).not.toBe('');
        },
      ),
      { numRuns: 600 },
    );
  });

  it('finds lines that are swapped, removed, repeated or cut off, and bytes cut off at the end', async () => {
    await fc.assert(
      fc.asyncProperty(
        shape,
        fc.nat(),
        fc.nat(),
        fc.constantFrom('swap', 'remove', 'repeat', 'cut-lines', 'cut-bytes', 'front'),
        async ({ legacy, count }, a, b, how) => {
          const { lines, head } = log(legacy, count);
          const i = a % lines.length;
          let bytes: Buffer;
          if (how === 'swap') {
            const j = b % lines.length;
            const swapped = [...lines];
            [swapped[i], swapped[j]] = [lines[j] as Buffer, lines[i] as Buffer];
            fc.pre(!text(swapped).equals(text(lines)));
            bytes = text(swapped);
          } else if (how === 'remove') bytes = text(lines.toSpliced(i, 1));
          else if (how === 'repeat') {
            bytes = text(lines.toSpliced(b % (lines.length + 1), 0, lines[i] as Buffer));
          } else if (how === 'front') bytes = text(lines.slice(i + 1));
          else if (how === 'cut-lines') bytes = text(lines.slice(0, i));
          else {
            const whole = text(lines);
            bytes = whole.subarray(0, b % whole.length);
          }
          expect((await verify(bytes, head)).problemCount).toBeGreaterThan(0);
        },
      ),
      { numRuns: 600 },
    );
  });

  it('finds every change of a byte of the head, and its absence', async () => {
    const { lines, head } = log(1, 4);
    const written = Buffer.from(renderHead(head));
    for (let index = 0; index < written.length; index += 1) {
      for (const delta of [1, 7, 32, 128]) {
        const changed = Buffer.from(written);
        changed.writeUInt8((changed.readUInt8(index) + delta) & 0xff, index);
        const parsed = parseHead(changed.toString('utf8')) ?? 'damaged';
        expect((await verify(text(lines), parsed)).problemCount, `byte ${index} + ${delta}`).toBeGreaterThan(
          0,
        );
      }
    }
    expect((await verify(text(lines), null)).problems[0]?.reason).toBe('audit.head_missing');
  });
});
