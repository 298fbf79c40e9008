import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, link, mkdir, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from '@mvm/testkit';
import type { Host } from '@mvm/testkit/host';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { busyboxLayer, createImportHost, importOwn } from './imported-host.js';

// The whole way of an operator: mvm, agentd, hostd, and a guest of an imported image.

const MVM = fileURLToPath(new URL('../../../cli/bin/mvm.js', import.meta.url));
let host: Host;

beforeAll(async () => {
  host = await createImportHost();
  await host.start();
  await importOwn(host, 'app', {
    layers: [[...busyboxLayer(), { name: 'etc/greeting', data: 'hello from the guest\n' }]],
    config: {
      Cmd: ['/bin/sh', '-c', 'httpd -p 127.0.0.1:80 -h /etc; exec sleep 100000'],
      Env: ['PATH=/bin'],
    },
  });
  await importOwn(host, 'job', {
    layers: [busyboxLayer()],
    config: { Cmd: ['/bin/sh', '-c', 'echo "job of $WHO"; exit 6'], Env: ['PATH=/bin'] },
  });
  await host.agentd.start([], { asRoot: true });
}, 240_000);
afterAll(() => host?.dispose());

const mvm = (args: readonly string[], input?: string) =>
  execa(process.execPath, [MVM, ...args], {
    env: { MVM_SOCKET: host.agentd.socketPath },
    reject: false,
    stripFinalNewline: false,
    ...(input === undefined ? { stdin: 'ignore' } : { input }),
  });

test('an image runs, is entered, and is reached', async () => {
  const started = await mvm(['run', '--tenant', 'acme', '--name', 'web', '-d', 'app']);
  expect(started).toMatchObject({
    exitCode: 0,
    stdout: expect.stringMatching(/^acme\/web\/i-[0-9a-f]{8}\n$/),
  });
  const instance = started.stdout.trim();

  expect(await mvm(['exec', instance, 'sh', '-c', 'echo out; echo err >&2; exit 9'])).toMatchObject({
    exitCode: 9,
    stdout: 'out\n',
    stderr: 'err\n',
  });
  expect(await mvm(['exec', '-i', instance, '--', 'tr', 'a-z', 'A-Z'], 'shout')).toMatchObject({
    exitCode: 0,
    stdout: 'SHOUT',
  });
  const unknown = await mvm(['exec', instance, 'nothing']);
  expect(unknown.exitCode, unknown.stderr).toBe(127);
  const missing = await mvm(['exec', 'acme/web/i-00000000', 'true']);
  expect(missing).toMatchObject({ exitCode: 125, stderr: expect.stringContaining('instance.not_found') });

  const port = await freePort();
  const forward = spawn(process.execPath, [MVM, 'port-forward', instance, `${port}:80`], {
    env: { ...process.env, MVM_SOCKET: host.agentd.socketPath },
    stdio: 'ignore',
  });
  try {
    const text = await until('an answer', () =>
      fetch(`http://127.0.0.1:${port}/greeting`).then(
        (answer) => answer.text(),
        () => null,
      ),
    );
    expect(text).toBe('hello from the guest\n');
  } finally {
    forward.kill();
  }
}, 120_000);

test('trees go in and come out as they were', async () => {
  const [instance = ''] = (await mvm(['instance', 'list', '-o', 'name'])).stdout.trim().split('\n');
  const tree = join(host.dir, 'tree');
  const hole = 64 * 1_048_576;
  await mkdir(join(tree, 'deep/empty'), { recursive: true });
  await writeFile(join(tree, 'deep/data'), randomBytes(3_000_001), { mode: 0o640 });
  await writeFile(join(tree, 'sparse'), 'x');
  await truncate(join(tree, 'sparse'), hole);
  await symlink('../nowhere', join(tree, 'deep/link'));
  await link(join(tree, 'deep/data'), join(tree, 'second'));
  await writeFile(join(tree, 'with space and ü'), '', { mode: 0o4755 });
  await chmod(join(tree, 'with space and ü'), 0o4755);

  expect(await mvm(['cp', tree, `${instance}:/srv-new`])).toMatchObject({ exitCode: 0, stderr: '' });
  const listed = await mvm([
    'exec',
    instance,
    'sh',
    '-c',
    'cd /srv-new && stat -c "%n %a %h %s" second sparse with* && readlink deep/link && du -k sparse',
  ]);
  const [second, sparse, odd, target, used] = listed.stdout.split('\n');
  expect([second, sparse, odd, target]).toEqual([
    'second 640 2 3000001',
    `sparse 644 1 ${hole}`,
    'with space and ü 4755 1 0',
    '../nowhere',
  ]);
  expect(Number.parseInt(used ?? '', 10)).toBeLessThan(1024);

  const back = join(host.dir, 'back');
  expect(await mvm(['cp', `${instance}:/srv-new`, back])).toMatchObject({ exitCode: 0, stderr: '' });
  const listing = (at: string) =>
    execa(
      'sh',
      ['-c', 'find . -printf "%p %y %l %s\\n" | sort; find . -type f -exec sha256sum {} + | sort'],
      { cwd: at },
    );
  expect((await listing(back)).stdout.replace(/^\. .*\n/, '')).toBe(
    (await listing(tree)).stdout.replace(/^\. .*\n/, ''),
  );
  const [data, other, holes, setuid] = await Promise.all(
    ['deep/data', 'second', 'sparse', 'with space and ü'].map((name) => stat(join(back, name))),
  );
  expect(data?.ino).toBe(other?.ino);
  expect(holes?.blocks).toBeLessThan(2048);
  expect((setuid?.mode ?? 0) & 0o7777).toBe(0o755);

  const missing = await mvm(['cp', `${instance}:/none`, join(host.dir, 'none')]);
  expect(missing).toMatchObject({
    exitCode: 4,
    stderr: expect.stringContaining('No such file or directory'),
  });
}, 120_000);

test('run --rm leaves nothing of its own, touches no other pool, and ends as its program does', async () => {
  // A pool that is on the host and not in the desired state: pruning would take it.
  const desired = JSON.parse((await mvm(['get', '-o', 'json'])).stdout);
  await mvm(['run', '--tenant', 'acme', '--name', 'left', '-d', 'app']);
  await mvm(['apply', '-f', '-'], JSON.stringify(desired));

  const once = (...args: string[]) =>
    mvm(['run', '--tenant', 'acme', '--name', 'once', '--rm', '-e', 'WHO=me', ...args]);
  expect(
    await once('app', 'sh', '-c', 'echo "$WHO $(ps | grep -c [h]ttpd)"; echo err >&2; exit 4'),
  ).toMatchObject({
    exitCode: 4,
    stdout: 'me 0\n',
    stderr: expect.stringContaining('err\n'),
  });
  expect(await once('job')).toMatchObject({ exitCode: 6, stdout: 'job of me\n' });
  const pools = JSON.parse((await mvm(['pool', 'list', '-o', 'json'])).stdout);
  expect(pools.items.map(({ pool_id }: { pool_id: string }) => pool_id)).toEqual(['left', 'web']);
  expect(JSON.parse((await mvm(['get', '-o', 'json'])).stdout)).toEqual(desired);
}, 180_000);

test('run -d runs another program, and starts it again as often as it is told', async () => {
  const script = 'echo "run of $WHO"; exit 3';
  const args = [
    'run',
    '--tenant',
    'acme',
    '--name',
    'loop',
    '-d',
    '-e',
    'WHO=me',
    '--restart',
    'on-failure:1',
  ];
  const started = await mvm([...args, 'app', '--', 'sh', '-c', script]);
  expect(started.exitCode).toBe(0);
  const instance = started.stdout.trim();
  const status = await until(
    'the limit',
    async () => {
      const { problems } = JSON.parse((await mvm(['status', '-o', 'json'])).stdout);
      return problems.find(({ reason }: { reason: string }) => reason === 'restart.limit') ?? null;
    },
    120_000,
  );
  expect(status).toMatchObject({ kind: 'failed', message: expect.stringContaining('exited with code 3') });
  const info = JSON.parse((await mvm(['instance', 'info', instance, '-o', 'json'])).stdout);
  expect(info).toMatchObject({
    status: 'stopped',
    exit_count: 2,
    stop_reason: { kind: 'exited', guest: { reason: 'exited', exit_code: 3, signal: null } },
    last_exit: { guest: { exit_code: 3 } },
  });
  expect((await mvm(['instance', 'info', instance])).stdout).toMatch(/^Exit code: +3$/m);
  expect((await mvm(['instance', 'list', 'acme/loop'])).stdout).toMatch(
    / 2 +the main process exited with code 3/,
  );
  expect((await mvm(['instance', 'logs', instance])).stdout.match(/run of me/g)).toHaveLength(2);
}, 240_000);

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
