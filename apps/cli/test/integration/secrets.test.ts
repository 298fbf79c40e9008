import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { runMvm } from './run-mvm.js';

let dir: string;
let path: string;
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), `mvm-cli-secrets-${process.pid}-`));
  await mkdir(join(dir, 'state/tenants'), { recursive: true });
  path = join(dir, 'state/tenants/acme/secrets.json');
});
afterEach(() => rm(dir, { recursive: true, force: true }));

const mvm = (args: string[], options: { input?: string | Uint8Array; env?: Record<string, string> } = {}) =>
  runMvm(['secret', ...args], { ...options, env: { MVM_STATE_DIR: join(dir, 'state'), ...options.env } });

it('sets secrets from stdin, a file and the environment, lists their names, and removes them', async () => {
  expect(await mvm(['set', 'acme', 'token', '--from-file', '-'], { input: 'p1pe\n' })).toMatchObject({
    code: 0,
  });
  await writeFile(join(dir, 'value'), 'f1le');
  expect(await mvm(['set', 'acme', 'db.user', '--from-file', join(dir, 'value')])).toMatchObject({ code: 0 });
  const environment = await mvm(['set', 'acme', 'db.password', '--from-env', 'PW'], { env: { PW: '3nv' } });
  expect(environment).toMatchObject({ code: 0, stdout: '' });
  expect(JSON.parse(await readFile(path, 'utf8'))).toEqual({
    'db.password': '3nv',
    'db.user': 'f1le',
    token: 'p1pe\n',
  });
  expect((await stat(path)).mode & 0o777).toBe(0o600);
  expect((await mvm(['list', 'acme'])).stdout).toBe(
    ['NAME          BYTES', 'db.password       3', 'db.user           4', 'token             5', ''].join(
      '\n',
    ),
  );
  expect(await mvm(['remove', 'acme', 'token'])).toMatchObject({ code: 0 });
  expect(await mvm(['remove', 'acme', 'token'])).toMatchObject({ code: 3 });
  expect((await mvm(['ls', 'acme', '-o', 'name'])).stdout).toBe('db.password\ndb.user\n');
});

it('keeps every secret that is set at the same time, and removes what a killed command left', async () => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f'];
  await mkdir(join(dir, 'state/tenants/acme'));
  await writeFile(join(dir, 'state/tenants/acme/.secrets.json.tmp-1-1'), '{"a":"half');
  const set = (name: string) => mvm(['set', 'acme', name, '--from-file', '-'], { input: name });
  const codes = (await Promise.all(names.map(set))).map(({ code }) => code);
  expect(codes).toEqual(names.map(() => 0));
  expect(Object.keys(JSON.parse(await readFile(path, 'utf8')))).toEqual(names);
  expect(await readdir(join(dir, 'state/tenants/acme'))).toEqual(['secrets.json']);
});

it('reads no more of a file than may be a value', async () => {
  const endless = await mvm(['set', 'acme', 'token', '--from-file', '/dev/zero']);
  expect(endless).toMatchObject({ code: 2, stderr: expect.stringContaining('larger than 65536 bytes') });
});

it('says when no tenant of that name is on the host', async () => {
  const set = () => mvm(['set', 'acme', 'token', '--from-file', '-'], { input: 'x' });
  expect((await set()).stderr).toContain('no tenant acme is on this host yet');
  await writeFile(join(dir, 'state/tenants/acme/tenant.json'), '{}');
  expect((await set()).stderr).not.toContain('no tenant');
});

it('shows with --dry-run what it would do, and does nothing', async () => {
  const tried = await mvm(['set', 'acme', 'token', '--from-file', '-', '--dry-run'], { input: 'hunter2' });
  expect(tried).toMatchObject({ code: 0, stdout: expect.stringContaining('secrets.write') });
  expect(tried.stdout + tried.stderr).not.toContain('hunter2');
  await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  await mvm(['set', 'acme', 'token', '--from-file', '-'], { input: 'x' });
  const before = await readFile(path, 'utf8');
  expect(await mvm(['remove', 'acme', 'token', '--dry-run'])).toMatchObject({ code: 0 });
  expect(await mvm(['remove', 'acme', 'other', '--dry-run'])).toMatchObject({ code: 3 });
  expect(await readFile(path, 'utf8')).toBe(before);
});

it('refuses what it cannot keep, and leaves what there is', async () => {
  await mvm(['set', 'acme', 'token', '--from-file', '-'], { input: 'x' });
  const before = await readFile(path, 'utf8');
  const refused: [string[], string | Uint8Array, number][] = [
    [['set', 'acme', 'token'], 'y', 2],
    [['set', 'acme', 'token', '--from-file', '-', '--from-env', 'PATH'], 'y', 2],
    [['set', 'acme', '../x', '--from-file', '-'], 'y', 2],
    [['set', '../acme', 'token', '--from-file', '-'], 'y', 2],
    [['set', 'acme', 'token', '--from-file', '-'], 'y'.repeat(65_537), 2],
    [['set', 'acme', 'token', '--from-file', '-'], Uint8Array.of(0xff, 0xfe), 2],
    [['set', 'acme', 'token', '--from-env', 'NO_SUCH_VARIABLE'], '', 2],
    [['set', 'acme', 'token', '--from-file', join(dir, 'nothing')], '', 2],
    [['set', 'acme', 'token', '--from-file', '-', '--state-dir', join(dir, 'elsewhere')], 'y', 4],
  ];
  for (const [args, input, code] of refused) {
    expect((await mvm(args, { input })).code, args.join(' ')).toBe(code);
  }
  expect(await readFile(path, 'utf8')).toBe(before);
});

it('does not read a file that others can read, and repeats nothing of one that is damaged', async () => {
  await mvm(['set', 'acme', 'token', '--from-file', '-'], { input: 'x' });
  await writeFile(path, '{"token": hunter2}', { mode: 0o600 });
  const damaged = await mvm(['list', 'acme']);
  expect(damaged.code).toBe(4);
  expect(damaged.stderr + damaged.stdout).not.toContain('hunter2');
  await rm(path);
  await writeFile(path, '{}', { mode: 0o644 });
  expect(await mvm(['list', 'acme'])).toMatchObject({ code: 4, stderr: expect.stringContaining('0600') });
});
