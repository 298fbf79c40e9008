import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AuditEntry, genesisHash, renderHead, renderLine } from '@mvm/audit-log';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModelAgentd } from './model-agentd.js';
import { runMvm } from './run-mvm.js';

let agentd: ModelAgentd;
beforeEach(async () => {
  agentd = await ModelAgentd.start();
});
afterEach(() => agentd.stop());

const mvm = (...args: string[]) => runMvm(args, { socket: agentd.socketPath });

describe('audit log', () => {
  it('prints entries of all pages, oldest first', async () => {
    const { stdout, code } = await mvm('audit', 'log', 'acme');
    expect(code).toBe(0);
    expect(stdout.split('\n')).toEqual([
      'TIME                       OPERATION   OBJECT           RESULT             UID   DETAILS',
      '2026-11-25T08:01:00.000Z   start       web/i-00000001   ok                 998   -',
      '2026-11-25T08:02:00.000Z   sleep       web/i-00000001   ok                 998   drain=timed_out',
      '2026-11-25T08:03:00.000Z   wake        web/i-00000001   snapshot.damaged   998   -',
      '',
    ]);
  });

  it('says how a VM ended by itself', async () => {
    const [first] = agentd.auditEntries;
    if (first === undefined) throw new Error('the model has no entry');
    const ended = { ...first, operation: 'vm_exited', reason: 'SIGKILL', peer: null };
    agentd.auditEntries = [ended];
    expect((await mvm('audit', 'log', 'acme')).stdout).toMatch(/vm_exited +web\/i-00000001 +ok, SIGKILL +- /);
  });

  it('narrows by time and number, and shows more with -o wide, without control characters', async () => {
    const since = await mvm('audit', 'show', 'acme', '--since', '2026-11-25T08:02:00Z', '-o', 'json');
    const { kind, items } = JSON.parse(since.stdout) as { kind: string; items: { seq: number }[] };
    expect([kind, items.map(({ seq }) => seq)]).toEqual(['AuditEntryList', [2, 3]]);
    const last = await mvm('audit', 'log', 'acme', '-n', '1', '-o', 'wide');
    expect(last.stdout).toMatch(/^SEQ .*\n +3 .* op3 .* wake failed: .*damaged\n$/);
    expect(last.stdout).not.toContain('\u001b');
  });

  it('refuses what is no time, and says that there is no log', async () => {
    expect(await mvm('audit', 'log', 'acme', '--since', 'yesterday')).toMatchObject({ code: 2 });
    expect(await mvm('audit', 'log', 'globex')).toMatchObject({ code: 3 });
    expect(await mvm('audit', 'log', '../x')).toMatchObject({ code: 2 });
  });
});

describe('audit verify', () => {
  it('lists what is wrong, and then ends with exit code 4', async () => {
    const all = await mvm('audit', 'verify');
    expect(all.code).toBe(4);
    expect(all.stdout.split('\n')).toEqual([
      'TENANT   ENTRIES   UNCHAINED   HEAD      RESULT',
      'acme         1-3           0   matches   intact',
      'globex       1-3           0   bad       2 wrong',
      'globex: line 5: entry 3 was changed (audit.line_changed)',
      'globex: and 1 more',
      '',
    ]);
    const one = await mvm('audit', 'verify', 'acme', '-o', 'json');
    expect(one.code).toBe(0);
    expect(JSON.parse(one.stdout)).toMatchObject({ kind: 'AuditReportList', items: [{ tenant_id: 'acme' }] });
  });
});

describe('audit verify --file', () => {
  let dir: string;
  let lines: string[];
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), `mvm-cli-audit-${process.pid}-`));
    const entry: AuditEntry = {
      at: '2026-11-25T08:00:00.000Z',
      op_id: 'x',
      operation: 'start',
      tenant_id: 'acme',
      pool_id: null,
      instance_id: null,
      peer: null,
      result: 'ok',
      code: null,
      reason: null,
      message: null,
      duration_ms: 1,
    };
    let prev = genesisHash('acme');
    lines = [1, 2, 3].map((seq) => {
      const { line, sha256 } = renderLine({ seq, prev }, entry);
      prev = sha256;
      return `${line.toString()}\n`;
    });
    await writeFile(join(dir, 'audit.log'), lines.join(''));
    await writeFile(join(dir, 'audit.head'), renderHead({ seq: 3, sha256: prev }));
  });
  afterEach(() => rm(dir, { recursive: true, force: true }));

  const verify = (...args: string[]) =>
    runMvm(['audit', 'verify', '--file', join(dir, 'audit.log'), ...args], { socket: join(dir, 'nobody') });

  it('needs no daemon, and takes the head beside the file', async () => {
    expect(await verify()).toMatchObject({ code: 0, stdout: expect.stringMatching(/^acme +1-3 .*intact$/m) });
    await writeFile(join(dir, 'audit.log'), lines.slice(0, 2).join(''));
    const cut = await verify();
    expect(cut).toMatchObject({ code: 4, stdout: expect.stringContaining('entry 3 is missing at the end') });
    await rm(join(dir, 'audit.head'));
    const unknowing = await verify();
    expect(unknowing).toMatchObject({ code: 0, stderr: expect.stringContaining('would not be noticed') });
  });

  it('holds it against the tenant that is named', async () => {
    expect(await verify('globex')).toMatchObject({ code: 4 });
    expect(await verify('acme', 'globex')).toMatchObject({ code: 2 });
    await rm(join(dir, 'audit.log'));
    expect(await verify()).toMatchObject({ code: 3 });
  });
});
