import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { toApiError } from '@mvm/agentd-api';
import { CodedError } from '@mvm/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModelAgentd } from './model-agentd.js';
import { applyResult, REVISION, status, statusStuck, statusUnderWay } from './model-data.js';
import { runMvm, startMvm } from './run-mvm.js';

const STATE = `schema_version: 1
node_id: node-1
tenants: []
`;

let agentd: ModelAgentd;
let dir: string;
let file: string;
beforeEach(async () => {
  agentd = await ModelAgentd.start();
  dir = await mkdtemp(join(tmpdir(), `mvm-apply-${process.pid}-`));
  file = join(dir, 'state.yaml');
  await writeFile(file, STATE);
});
afterEach(async () => {
  await agentd.stop();
  await rm(dir, { recursive: true, force: true });
});

const mvm = (...args: string[]) => runMvm(args, { socket: agentd.socketPath });

describe('mvm apply', () => {
  it('sends the file as it is written and shows what follows from it', async () => {
    let body: unknown;
    agentd.overrides.putDesired = (input) => {
      body = input.body;
      return applyResult(true);
    };
    const { code, stdout, stderr } = await mvm('apply', '-f', file);
    expect(code).toBe(0);
    expect(stdout).toMatch(
      /^ACTION +OBJECT +WHY\nensure-tenant +acme +not on this host yet\ncreate +acme\/web\/… /,
    );
    expect(stderr).toBe(`revision ${REVISION} is the desired state; 2 actions to begin with\n`);
    expect(body).toMatchObject({ schema_version: 1, node_id: 'node-1' });
  });

  it('takes JSON from standard input', async () => {
    const input = JSON.stringify({ schema_version: 1, node_id: 'n', tenants: [] });
    const { code, stdout } = await runMvm(['apply', '-f', '-', '-o', 'json'], {
      socket: agentd.socketPath,
      input,
    });
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ apiVersion: 'mvm/v1', kind: 'ApplyResult', applied: true });
  });

  it('changes nothing with --dry-run', async () => {
    const { code, stderr } = await mvm('apply', '-f', file, '--dry-run', '--wait');
    expect(code).toBe(0);
    expect(stderr).toBe('2 actions would follow; nothing was changed\n');
    expect(agentd.calls.map(({ route, query }) => [route, query])).toEqual([
      ['putDesired', { dry_run: true }],
    ]);
  });

  it('fails a dry run that could not be planned, and only mentions it when the state was taken', async () => {
    const error = new CodedError({ code: 'unavailable', reason: 'hostd.unreachable', message: 'no hostd' });
    agentd.overrides.putDesired = ({ query }) => ({
      ...applyResult(query.dry_run !== true),
      actions: [],
      plan_error: toApiError(error),
    });
    expect(await mvm('apply', '-f', file, '--dry-run')).toMatchObject({ code: 6 });
    const applied = await mvm('apply', '-f', file);
    expect(applied.code).toBe(0);
    expect(applied.stderr).toContain('agentd cannot act on it yet: no hostd');
  });

  it.each([
    ['no such file', async () => join(dir, 'none.yaml'), 'there is no such file'],
    ['a directory', async () => dir, 'it is a directory'],
    ['broken YAML', async () => write('a: [1\n'), 'state.yaml:'],
    [
      'an unknown field',
      async () => write(`${STATE}nonsense: 1\n`),
      'state.yaml:4:1: nonsense: there is no such field',
    ],
    ['a wrong version', async () => write(STATE.replace(': 1', ': 2')), 'state.yaml:1:1: schema_version: '],
    ['a binary', async () => write(Buffer.from([0xff, 0x00, 0xfe])), 'not UTF-8'],
    ['an empty file', async () => write(''), 'empty'],
  ])('refuses %s before it calls anybody', async (_what, make, message) => {
    const { code, stdout, stderr } = await mvm('apply', '-f', await make());
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(message);
    expect(stderr).toMatch(/^hint: ./m);
    expect(agentd.calls).toEqual([]);
  });

  async function write(content: string | Buffer): Promise<string> {
    await writeFile(file, content);
    return file;
  }
});

describe('mvm apply --wait', () => {
  it('waits until everything is as desired, with a line for each step', async () => {
    agentd.statuses = [statusUnderWay(0), statusUnderWay(1), statusUnderWay(1), status()];
    const { code, stderr } = await mvm('apply', '-f', file, '--wait');
    expect(code, stderr).toBe(0);
    const lines = stderr.trim().split('\n').slice(1);
    expect(lines.slice(0, -1)).toEqual([
      'waiting for agentd',
      '0 of 2 instances running (acme/web 0/2)',
      '1 of 2 instances running (acme/web 1/2)',
    ]);
    expect(lines.at(-1)).toMatch(/^converged after /);
  });

  it('says nothing on the way with --quiet', async () => {
    agentd.statuses = [statusUnderWay(0), status()];
    expect(await mvm('apply', '-f', file, '--wait', '-q', '-o', 'json')).toMatchObject({
      code: 0,
      stderr: '',
    });
  });

  it('ends with 124 when time runs out, and says how far it came', async () => {
    agentd.statuses = [statusUnderWay(1)];
    const { code, stderr } = await mvm('apply', '-f', file, '--wait', '--timeout', '700ms');
    expect(code, stderr).toBe(124);
    expect(stderr).toContain('not converged within 700ms: 1 of 2 instances running');
    expect(stderr).toContain('mvm status');
  });

  it('ends with 124 when agentd does not answer in time', async () => {
    agentd.overrides.getStatus = () => new Promise(() => {});
    expect(await mvm('apply', '-f', file, '--wait', '--timeout', '400ms')).toMatchObject({ code: 124 });
  });

  it('ends with 4 at once when agentd can do no more, with causes and console', async () => {
    agentd.statuses = [statusUnderWay(0), statusStuck()];
    const { code, stderr } = await mvm('apply', '-f', file, '--wait');
    expect(code, stderr).toBe(4);
    expect(stderr).toContain('acme/web: image demo is not registered on this host');
    expect(stderr).toContain('  | Kernel panic - not syncing\n');
  });

  it('ends with 4 when another revision is applied', async () => {
    const other = status();
    agentd.statuses = [
      statusUnderWay(0),
      { ...other, desired: { ...other.desired, revision: 'ffffffffffff' } },
    ];
    const { code, stderr } = await mvm('apply', '-f', file, '--wait');
    expect(code, stderr).toBe(4);
    expect(stderr).toContain('wait.superseded');
  });

  it('ends with 130 on Ctrl-C', async () => {
    let asked = () => {};
    const waiting = new Promise<void>((resolve) => {
      asked = resolve;
    });
    agentd.overrides.getStatus = () => {
      asked();
      return statusUnderWay(0);
    };
    const running = startMvm(['apply', '-f', file, '--wait'], { socket: agentd.socketPath });
    await waiting;
    running.child.kill('SIGINT');
    expect(await running.finished).toMatchObject({ code: 130 });
  });
});
