import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ModelAgentd } from './model-agentd.js';
import { runMvm, startMvm } from './run-mvm.js';

let agentd: ModelAgentd;
let dir: string;
beforeEach(async () => {
  agentd = await ModelAgentd.start();
  dir = await mkdtemp(join(tmpdir(), 'mvm-verbs-'));
});
afterEach(async () => {
  await agentd.stop();
  await rm(dir, { recursive: true });
});

const mvm = (...args: string[]) => runMvm(args, { socket: agentd.socketPath });

describe('listings', () => {
  it('leave out headers, and sort by columns and fields', async () => {
    const whole = (await mvm('pool', 'list')).stdout.split('\n');
    expect((await mvm('pool', 'list', '--no-headers')).stdout.split('\n')).toEqual(whole.slice(1));
    const byStatus = await mvm('ps', '--sort-by', 'status', '--format', '{{.status}}');
    const states = byStatus.stdout.trimEnd().split('\n');
    expect(states).toEqual(states.toSorted());
    expect(new Set(states).size).toBeGreaterThan(1);
    expect((await mvm('ps', '--sort-by', 'sise')).code).toBe(2);
  });

  it('print fields by a template', async () => {
    const { stdout } = await mvm('ps', 'acme', '--format', '{{.instance_id}}={{.resources.vcpus}}');
    expect(stdout.split('\n')[0]).toBe('i-00000001=1');
    expect((await mvm('ps', '--format', '{{.id')).code).toBe(2);
  });
});

describe('mvm events', () => {
  const since = ['--since', '2020-01-01'];

  it('shows what happened, of all tenants or of a pool', async () => {
    const { code, stdout, stderr } = await mvm('events', ...since, 'acme');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.trimEnd().split('\n')).toHaveLength(agentd.auditEntries.length + 1);
    expect(JSON.parse((await mvm('events', ...since, '-o', 'json')).stdout)).toMatchObject({
      kind: 'EventList',
      items: agentd.auditEntries.map(({ op_id }) => ({ op_id })),
    });
    expect((await mvm('events', ...since, 'acme/none')).stdout).toBe('');
    expect((await mvm('events', ...since, 'nobody')).code).toBe(3);
  });

  it('follows: each event once, also those of the same moment', async () => {
    const running = startMvm(['events', '-f', ...since, 'acme', '-o', 'json'], { socket: agentd.socketPath });
    const [first] = agentd.auditEntries;
    const last = agentd.auditEntries.at(-1);
    if (first === undefined || last === undefined) throw new Error('the model has no entries');
    await running.sawOutput(last.op_id);
    const added = [1, 2].map((number) => ({
      ...last,
      seq: (last.seq ?? 0) + number,
      op_id: `new-${number}`,
    }));
    agentd.auditEntries = [...agentd.auditEntries, ...added];
    await running.sawOutput('new-2');
    running.child.kill('SIGINT');
    const { code, stdout } = await running.finished;
    expect(code).toBe(130);
    const ids = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line).op_id);
    expect(ids).toEqual(agentd.auditEntries.map(({ op_id }) => op_id));
  });
});

it('mvm top shows what instances use between two looks', async () => {
  const { code, stdout } = await mvm('top', 'acme');
  expect(code).toBe(0);
  expect(stdout).toMatch(/^acme\/web\/i-00000001 +running +50\.0% +1MiB /m);
  const { items } = JSON.parse((await mvm('stats', '-o', 'json')).stdout);
  expect(items).toMatchObject([{ tenant_id: 'acme', cpu_percent: 50 }, { tenant_id: 'globex' }]);
  expect((await mvm('top', 'acme/wbe')).code).toBe(3);
});

describe('mvm restart', () => {
  const POOL = 'acme/web';
  const rebooted = () =>
    agentd.calls.filter(({ route }) => route === 'rebootInstance').map(({ params }) => params.instance);

  beforeEach(() => {
    agentd.instances = agentd.instances.map((each) =>
      each.pool_id === 'web' ? { ...each, status: 'running', operation: null, agent_connected: true } : each,
    );
  });

  it('restarts the running instances of a pool, one after the other', async () => {
    const shown = await mvm('restart', POOL, '--dry-run');
    expect(shown.stdout).toBe('acme/web/i-00000001\nacme/web/i-00000002\n');
    expect(rebooted()).toEqual([]);
    const { code, stdout } = await mvm('restart', POOL);
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: 'acme/web/i-00000001 restarted\nacme/web/i-00000002 restarted\n',
    });
    expect(rebooted()).toEqual(['i-00000001', 'i-00000002']);
  });

  it('stops at the first one that does not come up, and the others run on', async () => {
    agentd.instances = agentd.instances.map((each) =>
      each.pool_id === 'web' ? { ...each, agent_connected: false, sign_of_life: 'none' as const } : each,
    );
    const { code, stderr, stdout } = await mvm('restart', POOL, '--timeout', '1s');
    expect({ code, stdout }).toEqual({ code: 124, stdout: '' });
    expect(stderr).toContain('restart.not_up');
    expect(stderr).toContain('0 restarted; 1 were not tried and run on');
    expect(rebooted()).toEqual(['i-00000001']);
  });
});

describe('mvm edit', () => {
  async function editing(script: string, ...args: string[]) {
    const editor = join(dir, 'editor');
    await writeFile(editor, `#!/bin/sh\n${script}\n`);
    await chmod(editor, 0o755);
    return runMvm(['edit', ...args], { socket: agentd.socketPath, env: { EDITOR: editor, TMPDIR: dir } });
  }
  const puts = () => agentd.calls.filter(({ route }) => route === 'putDesired');
  const kept = (stderr: string) => /mvm apply -f (\S+)$/m.exec(stderr)?.[1] ?? '';

  it('applies what was saved, and shows what it changes', async () => {
    const { code, stderr } = await editing('sed -i "s/^node_id: .*/node_id: edited/" "$1"');
    expect(code, stderr).toBe(0);
    expect(stderr).toMatch(/^host +node_id +\S+ +"edited"$/m);
    expect(puts()).toMatchObject([{ body: { node_id: 'edited' } }]);
    expect(kept(stderr)).toBe('');
  });

  it('applies nothing when nothing was changed, or the editor fails', async () => {
    expect(await editing('true')).toMatchObject({ code: 0, stderr: 'nothing was changed\n' });
    expect(await editing('exit 3')).toMatchObject({
      code: 4,
      stderr: expect.stringContaining('edit.editor_failed'),
    });
    expect(puts()).toEqual([]);
  });

  it('keeps a text that is refused', async () => {
    const { code, stderr } = await editing('echo "colour: red" >> "$1"');
    expect(code).toBe(2);
    expect(stderr).toContain('colour: there is no such field');
    expect(await readFile(kept(stderr), 'utf8')).toContain('colour: red');
  });

  it('does not overwrite what somebody else applied in the meantime', async () => {
    const answer = agentd.desired;
    let asked = 0;
    agentd.overrides.getDesired = () => {
      asked += 1;
      return {
        source: 'api',
        path: null,
        revision: `r${asked}`,
        loaded_at: null,
        error: null,
        desired: answer,
      };
    };
    const { code, stderr } = await editing('sed -i "s/^node_id: .*/node_id: edited/" "$1"');
    expect(code).toBe(4);
    expect(stderr).toContain('edit.changed_meanwhile');
    expect(puts()).toEqual([]);
  });
});

it('logs of a pool are printed with the name of each instance', async () => {
  agentd.log = Buffer.from('one\ntwo\n');
  const { code, stdout } = await mvm('logs', '-n', '1', 'acme/web');
  expect(code).toBe(0);
  expect(stdout.trimEnd().split('\n').toSorted()).toEqual([
    'acme/web/i-00000001 | two',
    'acme/web/i-00000002 | two',
  ]);
  expect((await mvm('logs', 'acme/wbe')).code).toBe(3);
});

describe('mvm explain', () => {
  it('explains a field by its path or its last names, and what is in it, without a daemon', async () => {
    const { code, stdout } = await runMvm(['explain', 'sleep_policy'], { socket: '/nonexistent' });
    expect(code).toBe(0);
    expect(stdout).toMatch(/^Field: +tenants\.pools\.sleep_policy$/m);
    expect(stdout).toMatch(/^cpu_threshold +number 0…6400 +Percent/m);
    expect((await mvm('explain', '-o', 'name')).stdout).toContain('\ntenants.pools.desired_counts.warm\n');
    expect((await mvm('explain')).stdout).toMatch(/^node_id +string, required/m);
  });

  it('says what it does not know, and what can be meant', async () => {
    expect(await mvm('explain', 'colour')).toMatchObject({
      code: 3,
      stderr: expect.stringContaining('-o name'),
    });
    const several = await mvm('explain', 'egress');
    expect(several).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('tenants.network.policy.egress'),
    });
  });
});

describe('mvm delete', () => {
  const routes = () => agentd.calls.map(({ route }) => route);

  it('shows what it would destroy, and asks', async () => {
    const shown = await mvm('delete', 'acme', '--dry-run');
    expect(shown).toMatchObject({ code: 0, stdout: 'acme/web/i-00000001\nacme/web/i-00000002\n' });
    expect((await mvm('delete', 'acme')).code).toBe(2);
    expect(await mvm('delete', '--yes', 'acme/wbe')).toMatchObject({ code: 3 });
    expect(routes()).not.toContain('putDesired');
    expect(routes()).not.toContain('removeTenant');
  });

  it.each([
    ['acme/web', 'removePool', [['acme', []]]],
    ['acme', 'removeTenant', []],
  ])('takes %s out of the desired state, then off the host', async (name, route, tenants) => {
    agentd.desired = { ...agentd.desired, tenants: agentd.desired.tenants.slice(0, 1) };
    const { code, stderr } = await mvm('delete', '--yes', '--wipe-volumes', name);
    expect(code, stderr).toBe(0);
    const [put, removed] = agentd.calls.slice(-2);
    expect(put).toMatchObject({ route: 'putDesired' });
    const body = put?.body as typeof agentd.desired;
    expect(body.tenants.map(({ tenant_id, pools }) => [tenant_id, pools])).toEqual(tenants);
    expect(removed).toMatchObject({ route, query: { wipe_volumes: true } });
  });
});
