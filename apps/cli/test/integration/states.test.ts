import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { InstanceInfo } from '@mvm/agentd-api';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModelAgentd } from './model-agentd.js';
import { runMvm } from './run-mvm.js';

const ADDRESS = 'acme/web/i-00000001';

let agentd: ModelAgentd;
beforeEach(async () => {
  agentd = await ModelAgentd.start();
});
afterEach(() => agentd.stop());

const mvm = (...args: string[]) => runMvm(args, { socket: agentd.socketPath });

function change(fields: Partial<InstanceInfo>): void {
  const found = agentd.instances.find(
    ({ tenant_id, instance_id }) => tenant_id === 'acme' && instance_id === 'i-00000001',
  );
  if (found === undefined) throw new Error('the model has no such instance');
  Object.assign(found, fields);
}

const labels = (text: string): string[] =>
  [...text.matchAll(/^ *([A-Z][A-Za-z]+): /gm)].map(([, label = '']) => label);

describe('an instance that sleeps', () => {
  const stop_reason = {
    kind: 'wake_failed',
    message: 'the memory image does not have the recorded sha256',
    exit_code: null,
    signal: null,
    console_tail: '',
    at: '2026-01-01T00:00:00Z',
  } as const;
  const asleep = {
    status: 'sleeping',
    runtime: null,
    pid: null,
    last_stopped_at: '2026-01-01T00:00:00Z',
  } as const;

  it('says since when', async () => {
    change({ ...asleep, stop_reason: null });
    const { stdout } = await mvm('instance', 'info', ADDRESS);
    expect(stdout).toMatch(/^Asleep: +2026-01-01T00:00:00Z/m);
    expect(labels(stdout)).not.toContain('Stopped');
    expect((await mvm('instance', 'list', 'acme')).stdout).toMatch(/i-00000001 +sleeping +10/);
  });

  it('is marked when it could not be woken', async () => {
    change({ ...asleep, stop_reason });
    expect((await mvm('instance', 'list', 'acme')).stdout).toMatch(
      /i-00000001 +sleeping \(wake failed\) +10/,
    );
    expect((await mvm('instance', 'info', ADDRESS)).stdout).toContain(
      'Problem:    wake_failed: the memory image',
    );
    change({ operation: 'wake' });
    expect((await mvm('instance', 'list', 'acme')).stdout).toMatch(/i-00000001 +sleeping \(wake\) +10/);
  });
});

it('one that its VMM calls running, and whose guest gives no sign of life, is not believed', async () => {
  change({ sign_of_life: 'none' });
  expect((await mvm('instance', 'list', 'acme')).stdout).toMatch(/i-00000001 +running \(silent\) +/);
  expect((await mvm('instance', 'info', ADDRESS)).stdout).toMatch(
    /^Problem: +the guest has written nothing/m,
  );
  change({ sign_of_life: 'console' });
  expect((await mvm('instance', 'list', 'acme')).stdout).toMatch(/i-00000001 +running +/);
});

it('one that runs or is warm shows no end that was before its start, and whether its agent is there', async () => {
  change({ last_stopped_at: '2026-01-01T00:00:00Z' });
  const running = (await mvm('instance', 'info', ADDRESS)).stdout;
  expect(labels(running)).not.toContain('Stopped');
  expect(running).toMatch(/^ +Agent: +connected$/m);
  change({ status: 'warm', agent_connected: false, status_since: '2026-02-02T00:00:00Z' });
  const warm = (await mvm('instance', 'info', ADDRESS)).stdout;
  expect(warm).toMatch(/^Warm: +2026-02-02T00:00:00Z/m);
  expect(warm).toMatch(/^ +Agent: +not there/m);
});

it('one that is stopped says when', async () => {
  expect(labels((await mvm('instance', 'info', 'acme/web/i-00000002')).stdout)).toContain('Stopped');
});

it('a failure with one of several names the instance', async () => {
  const { stderr, code } = await mvm('instance', 'resume', 'acme/web/i-00000002', ADDRESS);
  expect(code).toBe(4);
  expect(stderr).toMatch(/^error: acme\/web\/i-00000002: .+/m);
});

it.each([
  ['start', 'started'],
  ['wake', 'woken'],
  ['resume', 'resumed'],
])('light 2: %s says for how long the instance stays running, as stop does', async (verb, done) => {
  const { stdout, stderr, code } = await mvm('instance', verb, '--hold', '15m', ADDRESS);
  expect({ stdout, code }).toEqual({ stdout: `${ADDRESS} ${done}\n`, code: 0 });
  expect(stderr).toMatch(/stays running for (15m|14m59s), or until "mvm instance stop"/);
});

it.each(['1s', '0s', '0'])('a hold that is as good as over is not spoken of: %s', async (hold) => {
  const { stdout, stderr } = await mvm('instance', 'stop', '--hold', hold, ADDRESS);
  expect({ stdout, stderr }).toEqual({ stdout: `${ADDRESS} stopped\n`, stderr: '' });
});

it('an empty console says so, beside the data', async () => {
  agentd.log = Buffer.alloc(0);
  const { stdout, stderr } = await mvm('instance', 'logs', ADDRESS);
  expect(stdout).toBe('');
  expect(stderr).toContain('--kernel-args');
  expect((await mvm('-q', 'instance', 'logs', ADDRESS)).stderr).toBe('');
  agentd.log = Buffer.from('x\n');
  expect((await mvm('instance', 'logs', ADDRESS)).stderr).toBe('');
});

describe('light 6: status', () => {
  it('calls no host as desired whose hostd does not answer, and marks what is history', async () => {
    const error = {
      code: 'unavailable',
      reason: 'hostd.unreachable',
      retry: 'backoff',
      message: 'hostd is gone',
      details: {},
      hint: null,
    } as const;
    agentd.statuses = agentd.statuses.map((each) => ({
      ...each,
      converged: false,
      settled: false,
      observed_at: new Date(Date.now() - 61_000).toISOString(),
      hostd: { ...each.hostd, state: 'unreachable' as const, error },
    }));
    const { stdout, code } = await mvm('status');
    expect(code).toBe(6);
    expect(stdout).toMatch(/^Host: +unknown: agentd cannot ask hostd$/m);
    expect(stdout).toMatch(/^Hostd: +unreachable: hostd is gone$/m);
    expect(stdout).toMatch(/^Seen: +what follows is of .+ ago$/m);
    expect(stdout).toMatch(/acme\/web .*unknown$/m);
    expect(stdout).not.toContain('as desired');
  });

  it('apply --wait ends with the cause, when its time is up and hostd does not answer', async () => {
    const file = join(await mkdtemp(join(tmpdir(), 'mvm-')), 'state.json');
    await writeFile(file, JSON.stringify({ schema_version: 1, node_id: 'n', tenants: [] }));
    agentd.statuses = agentd.statuses.map((each) => ({
      ...each,
      converged: false,
      settled: false,
      hostd: { ...each.hostd, state: 'unreachable' as const },
    }));
    const { code, stderr } = await mvm('apply', '-f', file, '--wait', '--timeout', '1s');
    expect({ code, stderr }).toEqual({ code: 6, stderr: expect.stringContaining('wait.hostd_unreachable') });
    await rm(dirname(file), { recursive: true });
  });
});

it.each([
  ['converging', { converged: false, settled: false }, 10],
  ['stuck', { converged: false, settled: true }, 4],
  ['as desired', {}, 0],
  ['light 4: held', { held: 1 }, 9],
])('the exit code of status says why: %s', async (_, fields, expected) => {
  agentd.statuses = agentd.statuses.map((each) => ({
    ...each,
    ...fields,
    pools: each.pools.map((pool) => ({ ...pool, held: 'held' in fields ? 1 : 0 })),
  }));
  const { code, stdout } = await mvm('status');
  expect(code).toBe(expected);
  if (expected === 9) {
    expect(stdout).toMatch(
      /^Host: +as desired, except for 1 instance held by an operator \(acme\/web 2\/2 running\)$/m,
    );
    expect(stdout).toMatch(/as desired, 1 held$/m);
  }
});

it.each([
  [['sleep'], '(Did you mean "mvm instance sleep"?)'],
  [['instance', 'describe'], '(Did you mean "mvm instance info"?)'],
])('%j is told where that is', async (words, advice) => {
  const { stderr, code } = await mvm(...words);
  expect(code).toBe(2);
  expect(stderr).toContain(advice);
});

it.each(['--all', '--sample=2', '--seed=3', '--operation=wake'])(
  'selftest %s needs --crash',
  async (option) => {
    const { stderr, code } = await mvm('selftest', option);
    expect(code).toBe(2);
    expect(stderr).toContain('Add --crash');
  },
);
