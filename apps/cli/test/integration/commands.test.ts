import { CodedError, ERROR_CODES, type ErrorCode } from '@mvm/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { ModelAgentd } from './model-agentd.js';
import { plan, statusStuck } from './model-data.js';
import { onTerminal } from './on-terminal.js';
import { runMvm, startMvm } from './run-mvm.js';

let agentd: ModelAgentd;
beforeEach(async () => {
  agentd = await ModelAgentd.start();
});
afterEach(() => agentd.stop());

const mvm = (...args: string[]) => runMvm(args, { socket: agentd.socketPath });

describe('listings', () => {
  it('print a table without borders, sorted by address', async () => {
    const { stdout, stderr, code } = await mvm('instance', 'list');
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    // The clock goes on while the model starts.
    expect(stdout.replace(/5m3\ds/g, '5m30s').split('\n')).toEqual([
      'INSTANCE                STATUS    ADDRESS      UP      AGE   RESTARTS   LAST-REASON',
      'acme/web/i-00000001     running   10.240.3.3   5m30s   5h           0   -',
      'acme/web/i-00000002     stopped   10.240.3.4   -       5h           0   -',
      'globex/api/i-00000001   running   10.240.3.3   5m30s   5h           0   -',
      '',
    ]);
  });

  it('narrow to a tenant or a pool', async () => {
    expect((await mvm('instance', 'list', 'globex', '-o', 'name')).stdout).toBe('globex/api/i-00000001\n');
    expect((await mvm('ps', 'acme/web', '-o', 'name')).stdout.trim().split('\n')).toHaveLength(2);
    expect((await mvm('pool', 'ls', 'acme', '-o', 'name')).stdout).toBe('acme/web\n');
    expect((await mvm('tenant', 'list', '-o', 'name')).stdout).toBe('acme\nglobex\n');
    expect((await mvm('image', 'list', '-o', 'name')).stdout).toBe('demo\n');
  });

  it('print more with -o wide, and no control characters from elsewhere', async () => {
    const { stdout } = await mvm('-o', 'wide', 'instance', 'list');
    expect(stdout).toContain('tn3i4');
    expect(stdout).toContain('the VMM ended with signal 9');
    expect(stdout).not.toContain('\u001b');
  });

  it.each(['instance', 'pool', 'tenant', 'image'])(
    'print %s lists as JSON and YAML documents',
    async (noun) => {
      const [json, yaml] = await Promise.all([
        mvm(noun, 'list', '-o', 'json'),
        mvm(noun, 'list', '-o', 'yaml'),
      ]);
      const document = JSON.parse(json.stdout) as { apiVersion: string; kind: string; items: object[] };
      expect(document.apiVersion).toBe('mvm/v1');
      expect(document.kind.toLowerCase()).toBe(`${noun}list`);
      expect(document.items.length).toBeGreaterThan(0);
      expect(parse(yaml.stdout)).toEqual(document);
    },
  );

  it('say on stderr when there is nothing', async () => {
    agentd.instances = [];
    const { stdout, stderr, code } = await mvm('instance', 'list');
    expect({ stdout, code }).toEqual({ stdout: '', code: 0 });
    expect(stderr).toContain('mvm apply --help');
    expect(JSON.parse((await mvm('instance', 'list', '-o', 'json')).stdout)).toMatchObject({ items: [] });
  });
});

describe('info', () => {
  it('shows an instance with its network, process and console', async () => {
    const { stdout } = await mvm('instance', 'info', 'acme/web/i-00000001');
    expect(stdout).toContain('10.240.3.3 in 10.240.3.0/24');
    expect(stdout).toContain('90MiB of at most 200MiB');
    expect(stdout).toContain('  | mvm-guest ready\n');
  });

  it('shows why one ended, with its last words', async () => {
    const { stdout } = await mvm('instance', 'info', 'acme/web/i-00000002');
    expect(stdout).toContain('exited: the VMM ended with signal 9');
    expect(stdout).toContain('  | Kernel panic\n');
    expect(stdout).not.toContain('\u001b');
  });

  it('shows tenants and pools', async () => {
    expect((await mvm('tenant', 'info', 'acme')).stdout).toContain('br-tenant-3');
    expect((await mvm('pool', 'info', 'acme/web')).stdout).toMatch(/running +1 +2\n/);
    const pool: unknown = JSON.parse((await mvm('pool', 'info', 'acme/web', '-o', 'json')).stdout);
    expect(pool).toMatchObject({ kind: 'Pool', tenant_id: 'acme', pool_id: 'web' });
  });
});

describe('operations', () => {
  it('start, stop and destroy', async () => {
    const address = 'acme/web/i-00000002';
    expect((await mvm('instance', 'start', address)).stdout).toBe(`${address} started\n`);
    const stopped = await mvm('instance', 'stop', '--hold', '2h', address);
    expect(stopped.stdout).toBe(`${address} stopped\n`);
    expect(stopped.stderr).toMatch(/stays stopped for (1h59m|2h),/);
    expect(agentd.calls.at(-1)?.query).toEqual({ dry_run: false, hold_seconds: 7200, force: false });
    const destroyed = await mvm('instance', 'destroy', '--yes', '--wipe-volumes', address, '-o', 'json');
    expect(JSON.parse(destroyed.stdout)).toMatchObject({
      items: [{ instance_id: 'i-00000002', status: 'destroyed' }],
    });
    expect(agentd.calls.at(-1)?.query).toEqual({ dry_run: false, wipe_volumes: true });
  });

  it('stop in the time of --time, or at once with --force', async () => {
    const address = 'acme/web/i-00000001';
    expect((await mvm('instance', 'stop', '--time', '1500ms', address)).code).toBe(0);
    expect(agentd.calls.at(-1)?.query).toMatchObject({ force: false, shutdown_timeout_secs: 2 });
    expect((await mvm('instance', 'stop', '--force', 'globex/api/i-00000001')).code).toBe(0);
    expect(agentd.calls.at(-1)?.query).toMatchObject({ force: true });
    const both = await mvm('instance', 'stop', '--force', '--time', '30s', address);
    expect(both.code).toBe(2);
    expect(agentd.calls).toHaveLength(2);
  });

  it('sleep and wake, several at once', async () => {
    const addresses = ['acme/web/i-00000001', 'globex/api/i-00000001'];
    const asleep = await mvm('instance', 'sleep', '--drain-timeout', '1500ms', '--hold', '2h', ...addresses);
    expect(asleep.code, asleep.stderr).toBe(0);
    expect(asleep.stdout).toBe('acme/web/i-00000001 sleeping\nglobex/api/i-00000001 sleeping\n');
    expect(asleep.stderr).toMatch(/i-00000001 stays asleep for (1h59m|2h), or until "mvm instance wake"/);
    expect(agentd.calls).toMatchObject([
      {
        route: 'sleepInstance',
        query: { hold_seconds: 7200 },
        body: { force: false, drain_timeout_secs: 2 },
      },
      { route: 'sleepInstance', params: { tenant: 'globex' } },
    ]);
    const woken = await mvm('instance', 'wake', ...addresses, '-o', 'json');
    expect(JSON.parse(woken.stdout)).toMatchObject({
      kind: 'InstanceOperationList',
      items: [
        { tenant_id: 'acme', status: 'running', hold: { kind: 'manual_run' } },
        { tenant_id: 'globex', status: 'running', hold: { kind: 'manual_run' } },
      ],
    });
  });

  it('sleep at once with --force, which leaves no time to drain', async () => {
    const address = 'acme/web/i-00000001';
    expect((await mvm('instance', 'sleep', '--force', address)).code).toBe(0);
    expect(agentd.calls).toMatchObject([{ query: { hold_seconds: 900 }, body: { force: true } }]);
    expect(agentd.calls[0]?.body).not.toHaveProperty('drain_timeout_secs');
    const both = await mvm('instance', 'sleep', '--force', '--drain-timeout', '30s', address);
    expect(both.code).toBe(2);
    expect(both.stderr).toContain('--force');
    expect(agentd.calls).toHaveLength(1);
  });

  it('warm and resume', async () => {
    const address = 'acme/web/i-00000001';
    const warm = await mvm('instance', 'warm', address);
    expect(warm.stdout).toBe(`${address} warm\n`);
    expect(warm.stderr).toMatch(/stays warm for (14m59s|15m), or until "mvm instance resume"/);
    const shown = await mvm('instance', 'list', 'acme/web', '-o', 'json');
    expect(JSON.parse(shown.stdout)).toMatchObject({
      items: [{ status: 'warm' }, { status: 'stopped' }],
    });
    expect((await mvm('instance', 'resume', address)).stdout).toBe(`${address} resumed\n`);
    expect(agentd.calls.map(({ route }) => route)).toEqual([
      'warmInstance',
      'listInstances',
      'resumeInstance',
    ]);
  });

  it('reboot, with the time that the guest may take, or at once', async () => {
    const address = 'acme/web/i-00000001';
    const { code, stdout, stderr } = await mvm('instance', 'reboot', '--time', '1500ms', address);
    expect([code, stdout, stderr]).toEqual([0, `${address} rebooted\n`, '']);
    expect((await mvm('instance', 'reboot', '--force', address)).code).toBe(0);
    expect(agentd.calls).toMatchObject([
      { route: 'rebootInstance', query: { shutdown_timeout_secs: 2, force: false, dry_run: false } },
      { route: 'rebootInstance', query: { force: true } },
    ]);
    const both = await mvm('instance', 'reboot', '--force', '--time', '30s', address);
    expect(both.code).toBe(2);
    const dry = await mvm('instance', 'reboot', '--dry-run', address);
    expect(`${dry.stdout}${dry.stderr}`).toMatch(/vm\.kill[\s\S]*would be rebooted/);
  });

  it.each(['reboot', 'sleep', 'wake', 'warm', 'resume'])('%s explains itself with examples', async (name) => {
    const { code, stdout } = await mvm('instance', name, '--help');
    expect(code).toBe(0);
    expect(stdout).toContain('Examples:');
    expect(stdout).toContain(`mvm instance ${name} acme/web/i-0a1b2c3d`);
    expect(agentd.calls).toEqual([]);
  });

  it('time out of a sleep counts from the end of the drain', async () => {
    agentd.overrides.sleepInstance = () => new Promise(() => {});
    const args = ['--timeout', '100ms', '--drain-timeout', '400ms', 'acme/web/i-00000001'];
    const { code, stderr } = await mvm('instance', 'sleep', ...args);
    expect(code).toBe(124);
    expect(stderr).toContain('500 ms');
  });

  it('do not destroy without a terminal to ask on or --yes', async () => {
    const { code, stderr } = await mvm('instance', 'destroy', 'acme/web/i-00000002');
    expect(code).toBe(2);
    expect(stderr).toContain('--yes');
    expect(agentd.calls).toEqual([]);
  });

  it.each([
    ['y', 0, true],
    ['yes', 0, true],
    ['n', 130, false],
    ['', 130, false],
  ])('destroy after a question on a terminal: %j', async (answer, code, destroyed) => {
    const args = ['instance', 'destroy', 'acme/web/i-00000002'];
    const result = await onTerminal(args, { socket: agentd.socketPath, answerTo: '[y/N] ', answer });
    expect(result.code, result.output).toBe(code);
    expect(result.output).toContain(destroyed ? 'i-00000002 destroyed' : 'nothing was destroyed');
    expect(agentd.calls.map(({ route }) => route)).toEqual(destroyed ? ['destroyInstance'] : []);
  });

  it('go on with the others when one fails, and end with its exit code', async () => {
    const result = await mvm(
      'instance',
      'resume',
      'acme/web/i-00000009',
      'acme/web/i-00000001',
      'acme/web/i-00000002',
    );
    expect(result.code).toBe(3);
    expect(result.stdout).toBe('acme/web/i-00000001 resumed\n');
    expect(result.stderr).toContain('instance.not_found');
    expect(result.stderr).toContain('instance.invalid_transition');
  });

  it('time out with 124', async () => {
    agentd.overrides.startInstance = () => new Promise(() => {});
    const { code, stderr } = await mvm('instance', 'start', '--timeout', '300ms', 'acme/web/i-00000002');
    expect(code).toBe(124);
    expect(stderr).toContain('300 ms');
  });

  it('light 10: end with 130 on Ctrl-C, and say what goes on', async () => {
    const called = new Promise<void>((resolve) => {
      agentd.overrides.startInstance = () => {
        resolve();
        return new Promise(() => {});
      };
    });
    const running = startMvm(['instance', 'start', 'acme/web/i-00000002'], { socket: agentd.socketPath });
    await called;
    running.child.kill('SIGINT');
    expect(await running.finished).toMatchObject({
      code: 130,
      stdout: '',
      stderr:
        'starting acme/web/i-00000002 continues in hostd without this command: mvm instance list --watch\ninterrupted\n',
    });
  });
});

describe('--dry-run', () => {
  const one = 'acme/web/i-00000001';

  it('prints the steps, says what is no step, and changes nothing', async () => {
    const before = structuredClone(agentd.instances);
    const { stdout, stderr, code } = await mvm('instance', 'stop', '--dry-run', one);
    expect(code).toBe(0);
    expect(stdout.split('\n')).toEqual([
      'STEP                      OBJECT                WHAT',
      'vm.kill                   tn3i3                 end its VM',
      `instance.commit_stopped   ${one}   record it as stopped`,
      '',
    ]);
    expect(stderr).toContain(`note: ${one}: a start of this instance is under way`);
    expect(stderr).toContain(`${one} would be stopped; nothing was changed\n`);
    expect(stderr).not.toContain('stays');
    expect(agentd.calls.at(-1)).toMatchObject({ route: 'stopInstance', query: { dry_run: true } });
    expect(agentd.instances).toEqual(before);
  });

  it('prints the steps themselves for scripts', async () => {
    const both = [one, 'globex/api/i-00000001'];
    const { stdout } = await mvm('instance', 'warm', '--dry-run', '-o', 'json', ...both);
    expect(JSON.parse(stdout)).toEqual({
      apiVersion: 'mvm/v1',
      kind: 'InstancePlanList',
      items: both.map((address) => {
        const [tenant_id, pool_id, instance_id] = address.split('/');
        return { tenant_id, pool_id, instance_id, ...plan(address) };
      }),
    });
    expect((await mvm('instance', 'sleep', '--dry-run', '-o', 'name', ...both)).stdout).toBe(
      `${both.join('\n')}\n`,
    );
    const table = await mvm('instance', 'destroy', '--dry-run', ...both);
    expect(table.stdout.split('\n').filter((line) => both.includes(line))).toEqual(both);
    expect(table.stderr).toContain(`${one} would be destroyed`);
  });

  it.each(['start', 'stop', 'sleep', 'wake', 'warm', 'resume', 'destroy'])(
    'of %s ends as the real one would when it is refused',
    async (verb) => {
      const real = verb === 'destroy' ? ['--yes'] : [];
      const missing = 'acme/web/nosuch';
      const tried = await mvm('instance', verb, '--dry-run', missing);
      const done = await mvm('instance', verb, ...real, missing);
      expect({ ...tried, code: done.code }).toEqual(done);
      expect(tried.code).toBe(3);
    },
  );

  it('goes on with the others, and ends with the code of the first refusal', async () => {
    const { code, stdout, stderr } = await mvm('instance', 'resume', '--dry-run', 'acme/web/i-00000002', one);
    expect({ code, stdout }).toMatchObject({ code: 4, stdout: expect.stringContaining('vm.kill') });
    expect(stderr).toContain('instance.invalid_transition');
    expect(stderr).toContain(`${one} would be resumed`);
  });
});

describe('errors', () => {
  it.each(Object.entries(ERROR_CODES) as [ErrorCode, { exitCode: number }][])(
    '%s from the daemon is exit code $exitCode',
    async (code, { exitCode }) => {
      const error = new CodedError({
        code,
        reason: 'test.reason',
        message: 'what happened',
        hint: 'what to do',
      });
      agentd.fail('listTenants', error);
      const result = await mvm('tenant', 'list');
      expect(result).toEqual({
        code: exitCode,
        stdout: '',
        stderr: `error: what happened\nreason: test.reason (${code})\nhint: what to do\n`,
      });
    },
  );

  it("end with the guest's console when there is one", async () => {
    agentd.fail(
      'startInstance',
      new CodedError({
        code: 'internal',
        reason: 'vmm.exited',
        message: 'start failed: the VMM ended',
        details: { console_tail: '\u001b[2JKernel panic\r\n' },
      }),
    );
    const { stderr, code } = await mvm('instance', 'start', 'acme/web/i-00000002');
    expect(code).toBe(1);
    expect(stderr).toBe(
      'error: start failed: the VMM ended\nreason: vmm.exited (internal)\nconsole:\n  | Kernel panic\n',
    );
  });

  it('are 6 with a hint when no process listens', async () => {
    const socket = `${agentd.socketPath}.none`;
    for (const command of [['tenant', 'list'], ['ping'], ['status'], ['instance', 'logs', 'a/b/c']]) {
      const { code, stdout, stderr } = await runMvm(command, { socket });
      expect({ code, stdout }).toEqual({ code: 6, stdout: '' });
      expect(stderr).toContain(socket);
      expect(stderr).toMatch(/^hint: ./m);
    }
    const version = await runMvm(['version'], { socket });
    expect(version.code).toBe(6);
    expect(version.stdout).toContain('mvm ');
  });

  it.each([
    [['frobnicate'], 'unknown command'],
    [['instance', 'lst'], 'Did you mean'],
    [['instance', 'list', '--frob'], 'unknown option'],
    [['instance', 'info'], 'missing required argument'],
    [['instance', 'info', 'a', 'b'], 'too many arguments'],
    [['instance', 'list', '-o', 'xml'], 'Allowed choices'],
    [['instance', 'logs', '-o', 'json', 'a/b/c'], 'takes no -o'],
    [['instance', 'logs', '--tail', 'x', 'a/b/c'], 'number of lines'],
    [['instance', 'logs', '--stream', 'x', 'a/b/c'], 'Allowed choices'],
    [['instance', 'start', '--timeout', '5 years', 'a/b/c'], 'for example 90s'],
    [['instance', 'info', '../b/c'], 'Tenant'],
    [['instance', 'info', 'a/b'], 'address'],
    [['pool', 'info', 'a;rm/b'], 'Tenant'],
    [['instance', 'list', 'A'], 'Tenant'],
    [['apply'], '--file'],
    [['image', 'add', 'x'], '--kernel'],
    [['completion', 'tcsh'], 'Allowed choices'],
  ])('%j is a usage error', async (args, message) => {
    const { code, stdout, stderr } = await mvm(...args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(message);
    expect(agentd.calls).toEqual([]);
  });
});

describe('ping, version, status', () => {
  it('ping measures both hops', async () => {
    const { stdout, code } = await mvm('ping', '-c', '2', '-o', 'json');
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      kind: 'Ping',
      hops: [{ hop: 'mvm → agentd' }, { hop: 'agentd → hostd', round_trips_ms: [0.25, 0.25] }],
    });
    expect((await mvm('ping')).stdout).toMatch(/agentd → hostd +ok +0\.25ms/);
  });

  it('ping tells which hop is silent', async () => {
    agentd.fail(
      'ping',
      new CodedError({ code: 'unavailable', reason: 'hostd.unreachable', message: 'no hostd' }),
    );
    const { stdout, stderr, code } = await mvm('ping');
    expect(code).toBe(6);
    expect(stdout).toMatch(/mvm → agentd +ok/);
    expect(stdout).toMatch(/agentd → hostd +no answer/);
    expect(stderr).toContain('hostd.unreachable');
  });

  it('version compares all three', async () => {
    const { stdout, stderr } = await mvm('version');
    expect(stdout).toMatch(/mvm-hostd +0\.0\.0 +v\d+\.\d+\.\d+ +1, 2 \(2 in use\)/);
    expect(stderr).toBe('all versions match\n');
  });

  it('status shows what is in the way', async () => {
    agentd.statuses = [statusStuck()];
    const { stdout, code } = await mvm('status');
    expect(code).toBe(4);
    expect(stdout).toContain('nothing more to do until something changes');
    expect(stdout).toMatch(/acme\/web +0\/2/);
    expect(stdout).toContain('image demo is not registered');
    expect(stdout).toContain('start failed: the VMM ended');
    expect(JSON.parse((await mvm('status', '-o', 'json')).stdout)).toMatchObject({
      kind: 'Status',
      converged: false,
    });
  });
});
