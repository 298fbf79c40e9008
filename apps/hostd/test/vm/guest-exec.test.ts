import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostdClient } from '@mvm/hostd-client';
import { until } from '@mvm/testkit';
import type { Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { InstanceAddress } from '../../src/state/layout.js';
import { ensureTenantAndPool } from '../tenants.js';
import { execIn, openSession } from './guest-sessions.js';
import { busyboxLayer, consoleSays, createImportHost, importOwn } from './imported-host.js';

// Programs that run in a guest beside the image's own, over the agent's channel.

let host: Host;
let client: HostdClient;
let daemon: Awaited<ReturnType<Host['start']>>;
const address: InstanceAddress = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-exec' };

beforeAll(async () => {
  host = await createImportHost();
  daemon = await host.start();
  client = host.client();
  await importOwn(host, 'app', {
    layers: [
      busyboxLayer(),
      [
        { name: 'etc/passwd', data: 'root:x:0:0::/root:/bin/sh\napp:x:1234:2345::/home/app:/bin/sh\n' },
        { name: 'etc/group', data: 'root:x:0:\napp:x:2345:\nextra:x:3456:app\n' },
        { name: 'tmp/', type: 'directory', mode: 0o1777 },
        { name: 'srv/', type: 'directory' },
      ],
    ],
    config: {
      Cmd: ['/bin/sh', '-c', 'httpd -p 127.0.0.1:80 -h /etc; exec sleep 100000'],
      Env: ['PATH=/bin', 'FROM=image'],
      WorkingDir: '/srv',
    },
  });
  // Nothing of the guest's network is needed.
  await ensureTenantAndPool(client, 'acme', 3, {
    spec: {
      flake_ref: 'app',
      instance_resources: { vcpus: 1, mem_mib: 192, data_disk_mib: 0 },
      network_policy: { egress: 'none' },
    },
  });
  await client.request({ type: 'CreateInstance', ...address });
  await client.request({ type: 'StartInstance', ...address });
  await consoleSays(client, address, /mvm-guest ready/);
}, 240_000);
afterAll(() => host.dispose());

const sh = (script: string, more: Parameters<typeof execIn>[3] = {}) =>
  execIn(host.socketPath, address, ['sh', '-c', script], more);
/** Waits until no process has this as its command line. */
const gone = (command: string) =>
  until(`the end of ${command}`, async () => {
    const { end } = await sh(
      `for at in /proc/[0-9]*/cmdline; do tr "\\0" " " <$at; echo; done | grep -q "^${command} $"`,
    );
    return 'code' in end && end.code === 1;
  });
const auditLines = async (): Promise<Record<string, unknown>[]> => {
  const text = await readFile(join(host.stateDir, 'tenants/acme/audit.log'), 'utf8');
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
};

describe('a program in a guest', () => {
  test('has the image’s environment, its own, and stdout and stderr apart', async () => {
    const script = 'echo "$PWD $FROM $MINE $HOSTNAME $(id -u)"; echo problem >&2; exit 7';
    const outcome = await sh(script, { env: ['MINE=a=b'] });
    expect({ ...outcome, stdout: outcome.stdout.toString(), stderr: outcome.stderr.toString() }).toEqual({
      end: { code: 7 },
      stdout: '/srv image a=b i-exec 0\n',
      stderr: 'problem\n',
    });
  });

  test.each([
    ['app', '1234:2345 2345 3456 /home/app'],
    ['1234', '1234:2345 2345 3456 /home/app'],
    ['app:extra', '1234:3456 3456 /home/app'],
    ['4000:4001', '4000:4001 4001 /'],
  ])('runs as user %s', async (user, expected) => {
    const { stdout } = await sh('echo "$(id -u):$(id -g) $(id -G) $HOME"', { user });
    expect(stdout.toString()).toBe(`${expected}\n`);
  });

  test.each([
    ['a program that is not there', ['nothing'], {}, { code: 127 }],
    ['one that cannot be run', ['/etc/passwd'], {}, { code: 126 }],
    ['an unknown user', ['true'], { user: 'who' }, { code: 126 }],
    ['a missing directory', ['true'], { cwd: '/none' }, { code: 126 }],
    ['a signal', ['sh', '-c', 'kill -9 $$'], {}, { signal: 9 }],
  ])('ends as docker has it: %s', async (_what, args, more, end) => {
    const outcome = await execIn(host.socketPath, address, args, more);
    expect(outcome.end).toEqual(end);
    if ('code' in end) expect(outcome.stderr.toString()).toMatch(/^mvm: /);
  });

  test('takes 64 MiB in and gives them back', async () => {
    const input = randomBytes(64 * 1024 * 1024);
    const sum = createHash('sha256').update(input).digest('hex');
    const back = await execIn(host.socketPath, address, ['cat'], { input });
    expect(createHash('sha256').update(back.stdout).digest('hex')).toBe(sum);
    const there = await execIn(host.socketPath, address, ['sha256sum'], { input });
    expect(there.stdout.toString()).toBe(`${sum}  -\n`);
  }, 240_000);

  test('runs beside seven others, of which one does not read and one is not read', async () => {
    const deaf = await openSession(host.socketPath, address, {
      kind: 'exec',
      args: ['sleep', '1000'],
      stdin: true,
    });
    let isRead = (): void => {};
    const unread = await openSession(
      host.socketPath,
      address,
      { kind: 'exec', args: ['yes'] },
      () =>
        new Promise((resolve) => {
          isRead = resolve;
        }),
    );
    void deaf.write(new Uint8Array(1_048_576));
    const others = Array.from({ length: 6 }, (_, at) => sh(`for i in 1 2 3; do echo ${at}; sleep 0.1; done`));
    for (const [at, { stdout, end }] of (await Promise.all(others)).entries()) {
      expect(stdout.toString()).toBe(`${at}\n`.repeat(3));
      expect(end).toEqual({ code: 0 });
    }
    deaf.signal(15);
    expect((await deaf.outcome).end).toEqual({ signal: 15 });
    unread.leave();
    isRead();
    await gone('yes');
  }, 60_000);

  test('has a terminal with a size, job control, and the end of the session', async () => {
    const session = await openSession(host.socketPath, address, {
      kind: 'exec',
      args: ['sh'],
      env: ['PS1=$ ', 'TERM=vt100'],
      tty: { rows: 31, cols: 97 },
      stdin: true,
    });
    const type = (text: string) => session.write(Buffer.from(text));
    const says = (wanted: RegExp) =>
      until(String(wanted), async () => (wanted.test(session.written()) ? true : null));
    await type('stty size; tty; echo term=$TERM\n');
    await says(/31 97\r\n\/dev\/pts\/\d+\r\nterm=vt100/);
    session.resize({ rows: 10, cols: 20 });
    await type('sh -c "echo go; sleep 1000"\n');
    await says(/^go\r\n/m);
    await type('\x03');
    await type('stty size; exit 5\n');
    expect((await session.outcome).end).toEqual({ code: 5 });
    expect(session.written()).toMatch(/10 20\r\n/);
  }, 60_000);

  test('goes on when its caller detaches, and is hung up when it leaves', async () => {
    for (const detach of [true, false]) {
      const session = await openSession(host.socketPath, address, {
        kind: 'exec',
        args: ['sh', '-c', `echo on; exec sleep 77${detach ? 1 : 2}`],
        tty: { rows: 24, cols: 80 },
      });
      await until('it runs', async () => (session.written().includes('on') ? true : null));
      session.leave({ detach });
    }
    await gone('sleep 772');
    const left = await sh('for at in /proc/[0-9]*; do grep -q "sleep.771" $at/cmdline && echo $at; done');
    expect(left.stdout.toString()).toMatch(/^\/proc\/\d+\n/);
  }, 60_000);

  test('reaches a port of the guest', async () => {
    const session = await openSession(host.socketPath, address, { kind: 'connect', port: 80 });
    await session.write(Buffer.from('GET /group HTTP/1.0\r\n\r\n'));
    session.endInput();
    const { end, stdout } = await session.outcome;
    expect(end).toEqual({ code: 0 });
    expect(stdout.toString()).toMatch(/^HTTP\/1\.[01] 200 OK\r\n(.*\r?\n)*extra:x:3456:app\n$/);
    const closed = await openSession(host.socketPath, address, { kind: 'connect', port: 81 });
    expect((await closed.outcome).end).toEqual({ reason: 'guest_stream.refused' });
  });

  test('is in the audit log, without its arguments and its output', async () => {
    await sh('echo secret-output; : secret-argument; exit 3', { env: ['KEY=secret-value'] });
    const text = await readFile(join(host.stateDir, 'tenants/acme/audit.log'), 'utf8');
    expect(text).not.toContain('secret');
    const lines = await until('the end of it', async () => {
      const found = (await auditLines()).slice(-2);
      return found[1]?.operation === 'close_stream' ? found : null;
    });
    expect(lines).toMatchObject([
      {
        operation: 'open_stream',
        result: 'ok',
        instance_id: 'i-exec',
        details: { kind: 'exec', program: 'sh', args: 2 },
      },
      { operation: 'close_stream', details: { ended: 'exited', exit_code: 3, bytes_from_guest: 14 } },
    ]);
  });

  test('stays small, however many ran', async () => {
    const { stdout } = await sh('cat /proc/1/status');
    expect(Number(/VmRSS:\s+(\d+) kB/.exec(stdout.toString())?.[1])).toBeLessThan(2048);
    expect(Number((await sh('ls /proc/1/fd | wc -l')).stdout.toString())).toBeLessThan(20);
  });
});

describe('what ends a stream', () => {
  test('a sleep, with an error that says so; after the wake the program is gone', async () => {
    const session = await openSession(host.socketPath, address, { kind: 'exec', args: ['sleep', '888'] });
    await client.request({ type: 'SleepInstance', ...address, force: false }, { timeoutMs: 60_000 });
    expect((await session.outcome).end).toEqual({ reason: 'guest_stream.slept' });
    await expect(sh('true')).rejects.toMatchObject({ reason: 'instance.not_running' });
    await client.request({ type: 'WakeInstance', ...address }, { timeoutMs: 60_000 });
    await gone('sleep 888');
  }, 120_000);

  test('the end of hostd; another one goes on with new streams', async () => {
    const session = await openSession(host.socketPath, address, { kind: 'exec', args: ['sleep', '999'] });
    await daemon.kill();
    expect((await session.outcome).end).toEqual({ reason: 'guest_stream.lost' });
    await host.start();
    await gone('sleep 999');
    expect((await sh('echo still here')).stdout.toString()).toBe('still here\n');
  }, 120_000);
});
