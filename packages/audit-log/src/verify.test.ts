import { expect, it } from 'vitest';
import { genesisHash, renderLine } from './chain.js';
import type { AuditEntry } from './entry.js';
import { type AuditVerification, verifyAuditLog } from './verify.js';

function chain(
  tenant: string,
  operations: readonly string[],
  details: Record<number, AuditEntry['details']> = {},
) {
  let prev = genesisHash(tenant);
  return operations.map((operation, index) => {
    const { line, sha256 } = renderLine(
      { seq: index + 1, prev },
      {
        at: '2026-11-25T08:00:00.000Z',
        op_id: 'ab',
        operation,
        tenant_id: tenant,
        pool_id: null,
        instance_id: null,
        peer: null,
        result: 'ok',
        code: null,
        reason: null,
        message: null,
        duration_ms: 1,
        ...(details[index] === undefined ? {} : { details: details[index] }),
      },
    );
    prev = sha256;
    return { text: `${line.toString()}\n`, sha256 };
  });
}

async function* once(text: string): AsyncGenerator<Buffer> {
  yield Buffer.from(text);
}

const verify = (text: string, tenantId: string | null = null): Promise<AuditVerification> =>
  verifyAuditLog(once(text), { tenantId, head: 'not_given' });

const found = async (text: string, tenantId: string | null = null): Promise<unknown[]> =>
  (await verify(text, tenantId)).problems.map(({ line, reason }) => [line, reason]);

it('names the line that was changed', async () => {
  const lines = chain('acme', ['start', 'stop', 'start', 'stop']).map(({ text }) => text);
  const changed = lines.with(1, (lines[1] ?? '').replace('"duration_ms":1', '"duration_ms":2'));
  expect(await found(changed.join(''))).toEqual([[2, 'audit.line_changed']]);
  expect(await found(lines.toSpliced(2, 1).join(''))).toEqual([[3, 'audit.entries_missing']]);
  expect(await found(lines.toSpliced(2, 0, '{"x":1}\n').join(''))).toEqual([[3, 'audit.not_an_entry']]);
  expect(await found(lines.join('').slice(0, -1))).toEqual([[4, 'audit.torn_line']]);
});

it('takes no log of another tenant, nor a line of one', async () => {
  const lines = chain('acme', ['start', 'stop']).map(({ text }) => text);
  expect(await found(lines.join(''), 'globex')).toEqual([
    [1, 'audit.bad_start'],
    [1, 'audit.other_tenant'],
    [2, 'audit.other_tenant'],
  ]);
});

it('accepts a log that begins later only when an entry of it says so', async () => {
  const plain = chain('acme', ['start', 'stop', 'start', 'stop']);
  expect(
    await found(
      plain
        .slice(2)
        .map(({ text }) => text)
        .join(''),
    ),
  ).toEqual([[1, 'audit.bad_start']]);
  const signed = chain('acme', ['start', 'stop', 'start', 'audit_pruned'], {
    3: { last_seq: 2, last_sha256: plain[1]?.sha256 ?? '', lines: 2 },
  });
  expect(
    await found(
      signed
        .slice(2)
        .map(({ text }) => text)
        .join(''),
    ),
  ).toEqual([]);
  // Signed for, but not removed yet.
  expect(await found(signed.map(({ text }) => text).join(''))).toEqual([]);
  expect(
    await found(
      signed
        .slice(3)
        .map(({ text }) => text)
        .join(''),
    ),
  ).toEqual([[1, 'audit.bad_start']]);
});

it('an empty log is in order', async () => {
  expect(await verify('')).toMatchObject({ problemCount: 0, lines: 0, lastSeq: null, tenantId: null });
});

it('does not take lines of which none is an entry for a log that is in order', async () => {
  const noChain = [[null, 'audit.no_chain']];
  expect(await found('{"old":1}\n')).toEqual(noChain);
  expect(await found('not a log at all\nnor this\n', 'acme')).toEqual(noChain);
  expect(await found('')).toEqual([]);
});
