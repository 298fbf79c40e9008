import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { appendFile, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AuditEntry } from '@mvm/audit-log';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type AuditLog, createAuditLog } from '../../src/state/audit-log.js';
import { createLayout, type Layout } from '../../src/state/layout.js';

const AT = '2026-11-25T08:00:00.000Z';
let dir: string;
let layout: Layout;
let audit: AuditLog;

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), `mvm-audit-${process.pid}-`));
  layout = createLayout(join(dir, 's'), join(dir, 'r'));
  await mkdir(layout.tenantDir('acme'), { recursive: true });
  audit = createAuditLog(layout);
});
afterEach(() => rm(dir, { recursive: true, force: true }));

function entry(opId: string, at = AT): AuditEntry {
  return {
    at,
    op_id: opId,
    operation: 'start',
    tenant_id: 'acme',
    pool_id: 'web',
    instance_id: 'i-1',
    peer: { pid: 1, uid: 0, gid: 0 },
    result: 'ok',
    code: null,
    reason: null,
    message: null,
    duration_ms: 1,
  };
}

const logText = (): Promise<string> => readFile(layout.auditLog('acme'), 'utf8');

async function operations(log: AuditLog = audit): Promise<string[]> {
  const found: string[] = [];
  for await (const { entry: each } of log.entries('acme')) found.push(each.op_id || each.operation);
  return found;
}

async function problems(log: AuditLog = audit): Promise<string[] | undefined> {
  return (await log.verify('acme'))?.problems.map(({ reason }) => reason);
}

test('entries at the same time and over restarts make one chain, in 0600 files', async () => {
  await Promise.all(Array.from({ length: 20 }, (_, index) => audit.append(entry(`a${index}`))));
  await createAuditLog(layout).append(entry('b'));
  await audit.append(entry('c'));
  expect(await operations()).toEqual([...Array.from({ length: 20 }, (_, index) => `a${index}`), 'b', 'c']);
  expect(await audit.verify('acme')).toMatchObject({ problemCount: 0, head: 'matches', lastSeq: 22 });
  for (const path of [layout.auditLog('acme'), layout.auditHead('acme')]) {
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  }
});

test('what a line says may be done once the line is on disk, before its head is', async () => {
  await audit.append(entry('one'));
  const { sha256 } = JSON.parse(await readFile(layout.auditHead('acme'), 'utf8'));
  const seen: { line: boolean; head: boolean }[] = [];
  await audit.append(entry('two'), () => {
    seen.push({
      line: readFileSync(layout.auditLog('acme'), 'utf8').includes('"op_id":"two"'),
      head: JSON.parse(readFileSync(layout.auditHead('acme'), 'utf8')).sha256 === sha256,
    });
  });
  expect(seen).toEqual([{ line: true, head: true }]);
  expect(await audit.verify('acme')).toMatchObject({ problemCount: 0, head: 'matches', lastSeq: 2 });
});

test('nothing may be done for a line that could not be written', async () => {
  await mkdir(layout.auditLog('acme'));
  let durable = false;
  await expect(
    audit.append(entry('one'), () => {
      durable = true;
    }),
  ).rejects.toThrow();
  expect(durable).toBe(false);
});

test('an append that was killed after any of its bytes is mended, says so, and loses nothing that was answered', async () => {
  await audit.append(entry('one'));
  await audit.append(entry('two'));
  const [logBefore, headBefore] = [await logText(), await readFile(layout.auditHead('acme'), 'utf8')];
  await audit.append(entry('three'));
  const logAfter = await logText();
  for (let end = logBefore.length; end <= logAfter.length; end += end < logAfter.length - 1 ? 7 : 1) {
    await writeFile(layout.auditLog('acme'), logAfter.slice(0, end));
    await writeFile(layout.auditHead('acme'), headBefore);
    const restarted = createAuditLog(layout);
    await restarted.repair(AT);
    await restarted.append(entry('four'));
    const report = await restarted.verify('acme');
    expect(report, `cut at ${end}`).toMatchObject({ problemCount: 0, head: 'matches' });
    const torn = end > logBefore.length && end < logAfter.length;
    const middle = end === logAfter.length ? ['three'] : torn ? ['audit_mended'] : [];
    expect(await operations(restarted)).toEqual(['one', 'two', ...middle, 'four']);
    if (torn) expect(await logText()).toContain(JSON.stringify(logAfter.slice(logBefore.length, end)));
  }
});

test('a repair that was itself killed is repeated', async () => {
  await audit.append(entry('one'));
  await appendFile(layout.auditLog('acme'), `{"seq":2,${'x'.repeat(3000)}`);
  const torn = await readFile(layout.auditLog('acme'));
  const restarted = createAuditLog(layout);
  await restarted.repair(AT);
  const mended = await readFile(layout.auditLog('acme'));
  const begin = torn.indexOf(0x0a) + 1;
  for (const written of [1, 50, mended.length - begin - 1, mended.length - begin]) {
    const half = Buffer.from(torn);
    mended.copy(half, begin, begin, begin + written);
    await writeFile(layout.auditLog('acme'), half);
    await rm(layout.auditHead('acme'));
    const again = createAuditLog(layout);
    await again.repair(AT);
    expect(await again.verify('acme'), `${written} bytes`).toMatchObject({
      problemCount: 0,
      head: 'matches',
    });
  }
});

test('a log from before there was a chain is kept, and the chain vouches for it', async () => {
  const { peer: _, ...old } = entry('old');
  const before = `${JSON.stringify({ ...old, peer: null })}\n{"peer of version 1":true}\ntorn`;
  await writeFile(layout.auditLog('acme'), before);
  await audit.append(entry('new'));
  expect((await logText()).startsWith(before.slice(0, -4))).toBe(true);
  expect(await operations()).toEqual(['old', 'audit_anchor', 'audit_mended', 'new']);
  expect(await audit.verify('acme')).toMatchObject({ problemCount: 0, unchainedLines: 2, lastSeq: 3 });
  await writeFile(layout.auditLog('acme'), (await logText()).replace('version 1', 'version 2'));
  expect(await problems()).toEqual(['audit.bad_anchor']);
});

test('a change of the log stays visible, whatever is appended afterwards', async () => {
  for (const name of ['one', 'two', 'three', 'four']) await audit.append(entry(name));
  const lines = (await logText()).split('\n');
  const head = await readFile(layout.auditHead('acme'), 'utf8');
  const cases: [string, string[]][] = [
    [`${lines.slice(0, 2).join('\n')}\n`, ['audit.entries_missing']],
    ['', ['audit.bad_start']],
    [`${lines.slice(0, 3).join('\n')}\n{"op_id":"mine"}\n`, ['audit.not_an_entry', 'audit.entries_missing']],
    [lines.slice(0, 4).join('\n'), ['audit.entries_missing']],
  ];
  for (const [text, found] of cases) {
    await writeFile(layout.auditLog('acme'), text);
    await writeFile(layout.auditHead('acme'), head);
    for (const log of [audit, createAuditLog(layout)]) {
      await log.append(entry('later'));
      expect(await problems(log), text).toEqual(found);
    }
    expect(await logText()).toContain('"end_changed"');
  }
});

test('a lost head is made anew, and an entry says that it was lost', async () => {
  await audit.append(entry('one'));
  await audit.append(entry('two'));
  for (const text of [null, '{"seq":1']) {
    if (text === null) await rm(layout.auditHead('acme'));
    else await writeFile(layout.auditHead('acme'), text);
    expect(await problems()).toEqual([text === null ? 'audit.head_missing' : 'audit.head_damaged']);
    await createAuditLog(layout).append(entry('three'));
    expect(await problems()).toEqual([]);
  }
  expect(await operations()).toEqual(['one', 'two', 'audit_mended', 'three', 'audit_mended', 'three']);
});

test('entries older than the retention are let go and signed for; of a log that does not verify none are', async () => {
  const onProblem: unknown[] = [];
  const keeping = createAuditLog(layout, {
    retentionDays: () => 30,
    onProblem: (_tenant, error) => onProblem.push(error),
  });
  await writeFile(layout.auditLog('acme'), '{"before":"the chain"}\n');
  await audit.append(entry('one', '2026-09-01T00:00:00.000Z'));
  await audit.append(entry('two', '2026-10-01T00:00:00.000Z'));
  await audit.append(entry('three', '2026-11-20T00:00:00.000Z'));
  const whole = await logText();
  await keeping.append(entry('four'));
  expect(await operations(keeping)).toEqual(['three', 'four', 'audit_pruned']);
  expect(await keeping.verify('acme')).toMatchObject({ problemCount: 0, head: 'matches', firstSeq: 4 });
  await keeping.append(entry('five'));
  expect(await operations(keeping)).toEqual(['three', 'four', 'audit_pruned', 'five']);
  expect(await problems(createAuditLog(layout))).toEqual([]);
  // Killed between the signature and the cut: the old part is still there, and in order.
  await writeFile(
    layout.auditLog('acme'),
    whole + (await logText()).slice((await logText()).indexOf('\n') + 1),
  );
  expect(await problems(createAuditLog(layout))).toEqual([]);
  await writeFile(layout.auditLog('acme'), (await logText()).replace('"two"', '"tow"'));
  await createAuditLog(layout, { retentionDays: () => 30, onProblem: (_, e) => onProblem.push(e) }).append(
    entry('six'),
  );
  expect(onProblem).toHaveLength(1);
  expect(await operations()).toContain('one');
});

test('entries are not let go by a clock that was set a short time ago', async () => {
  let steady = false;
  const keeping = createAuditLog(layout, { retentionDays: () => 30, isClockSteady: () => steady });
  await keeping.append(entry('one', '2026-11-20T00:00:00.000Z'));
  await keeping.append(entry('two', '2036-11-20T00:00:00.000Z'));
  expect(await operations(keeping)).toEqual(['one', 'two']);
  steady = true;
  await keeping.append(entry('three', '2036-11-20T00:00:00.000Z'));
  expect(await operations(keeping)).toEqual(['two', 'three', 'audit_pruned']);
});

test('kill -9 of a process that appends, again and again, leaves a log that verifies', async () => {
  const program = `
    import { createAuditLog } from ${JSON.stringify(join(import.meta.dirname, '../../dist/state/audit-log.js'))};
    import { createLayout } from ${JSON.stringify(join(import.meta.dirname, '../../dist/state/layout.js'))};
    const log = createAuditLog(createLayout(${JSON.stringify(layout.stateDir)}, '/nonexistent'));
    const entry = ${JSON.stringify(entry('x'))};
    process.stdout.write('ready\\n');
    for (let n = 0; ; n += 1) {
      await log.append({ ...entry, op_id: String(n), message: 'm'.repeat(n % 900) });
      process.stdout.write(n + '\\n');
    }`;
  let answered = 0;
  for (let round = 0; round < 12; round += 1) {
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let said = '';
    child.stdout.on('data', (data: Buffer) => {
      said += data.toString();
    });
    const ended = new Promise((resolve) => child.once('close', resolve));
    while (!/\n\d/.test(said)) await sleep(2);
    await sleep((round * 13) % 41);
    child.kill('SIGKILL');
    await ended;
    answered += said.trimEnd().split('\n').length - 1;
    const restarted = createAuditLog(layout);
    await restarted.repair(AT);
    expect(await restarted.verify('acme')).toMatchObject({ problemCount: 0, head: 'matches' });
  }
  expect((await operations()).filter((name) => name !== 'audit_mended').length).toBeGreaterThanOrEqual(
    answered,
  );
  expect(answered).toBeGreaterThan(12);
});
