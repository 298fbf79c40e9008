import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { ModelAgentd } from './model-agentd.js';
import { runMvm } from './run-mvm.js';

let agentd: ModelAgentd;
beforeEach(async () => {
  agentd = await ModelAgentd.start();
});
afterEach(() => agentd.stop());

const mvm = (...args: string[]) => runMvm(args, { socket: agentd.socketPath });
const INPUT = 'schema_version: 1\nnode_id: other\ntenants: []\n';

describe('what is wanted', () => {
  it('is printed as apply takes it', async () => {
    const { code, stdout } = await mvm('get', '-o', 'json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toEqual(agentd.desired);
    expect((await mvm('get')).stdout).toMatch(/^schema_version: 1$/m);
  });

  it('is printed without anything that a terminal acts on', async () => {
    const [pool] = agentd.desired.tenants[0]?.pools ?? [];
    if (pool === undefined) throw new Error('the model has no pool');
    pool.flake_ref = 'demo\u009b31m\u202ex';
    for (const format of ['json', 'yaml']) {
      const { stdout } = await mvm('get', '-o', format);
      expect([...stdout].filter((char) => /[\p{Cc}\p{Bidi_Control}]/u.test(char) && char !== '\n')).toEqual(
        [],
      );
      expect(parse(stdout)).toEqual(agentd.desired);
    }
  });

  it('is compared with a file, field by field', async () => {
    const changed = await runMvm(['diff', '-f', '-'], { socket: agentd.socketPath, input: INPUT });
    expect(changed.code, changed.stderr).toBe(1);
    expect(changed.stdout).toMatch(/^host +node_id +"node-1" +"other"$/m);
    expect(changed.stdout).toMatch(/^acme +\(all\) +there/m);
    const same = await runMvm(['diff', '-f', '-'], {
      socket: agentd.socketPath,
      input: JSON.stringify(agentd.desired),
    });
    expect(same).toMatchObject({ code: 0, stdout: '' });
  });

  it('is scaled, one pool and nothing else', async () => {
    const { code, stderr } = await mvm('scale', 'acme/web', '3', '--sleeping', '1');
    expect(code, stderr).toBe(0);
    const put = agentd.calls.find(({ route }) => route === 'putDesired');
    const body = put?.body as typeof agentd.desired;
    expect(body.tenants[0]?.pools[0]?.desired_counts).toEqual({ running: 3, warm: 0, sleeping: 1 });
    const missing = await mvm('scale', 'acme/wbe', '3');
    expect(missing).toMatchObject({ code: 3, stderr: expect.stringContaining('acme/web') });
    expect((await mvm('scale', 'acme/web', '-1')).code).toBe(2);
  });

  it('is waited for', async () => {
    expect(await mvm('wait')).toMatchObject({ code: 0 });
  });
});

describe('light 9: prune', () => {
  it('shows what no pool needs, and destroys it when it may', async () => {
    // acme/web has one that runs and one that is stopped.
    const [tenant] = agentd.desired.tenants;
    const [pool] = tenant?.pools ?? [];
    if (pool !== undefined) pool.desired_counts = { running: 1, warm: 0, sleeping: 0 };
    const shown = await mvm('prune', '--dry-run', '-o', 'name');
    expect(shown).toMatchObject({ code: 0, stdout: 'acme/web/i-00000002\n' });
    expect(agentd.calls.map(({ route }) => route)).not.toContain('destroyInstance');
    expect((await mvm('prune')).code).toBe(2);
    const done = await mvm('prune', '--yes');
    expect(done).toMatchObject({ code: 0, stderr: expect.stringContaining('1 destroyed') });
    expect(agentd.calls.map(({ route }) => route)).toContain('destroyInstance');
  });
});

describe('habits', () => {
  it.each([[['help']], [['help', 'apply']], [['instance']]])(
    '%j explains, on stdout, with exit code 0',
    async (args) => {
      const { code, stdout, stderr } = await mvm(...args);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout).toContain('Usage: mvm');
    },
  );

  it('a quiet listing is of names', async () => {
    expect((await mvm('ps', '-q')).stdout.split('\n')[0]).toBe('acme/web/i-00000001');
  });

  it('the beginning of an id is enough when only one instance has it', async () => {
    expect((await mvm('stop', 'i-00000002')).code).toBe(0);
    const ambiguous = await mvm('instance', 'info', 'i-0000');
    expect(ambiguous).toMatchObject({ code: 2, stderr: expect.stringContaining('address.ambiguous') });
    expect(await mvm('rm', '--yes', 'i-9')).toMatchObject({ code: 3 });
  });

  it('a filter that matches nothing says what there is', async () => {
    const { code, stderr } = await mvm('instance', 'list', 'acme/workrs');
    expect(code).toBe(3);
    expect(stderr).toContain('acme/web');
    expect((await mvm('pool', 'list', 'acem')).stderr).toContain('acme');
  });
});
