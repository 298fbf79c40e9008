import { spawn } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  statfsSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { testUidBase } from '@mvm/testkit';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readState } from '../../src/demo-state.js';
import { createDemoHost, reopenDemoHost } from '../../src/host.js';
import { partsOf } from '../../src/kept-demo.js';
import { enterPrefix } from '../../src/namespace.js';
import { isAlive } from '../../src/processes.js';
import { takeDown } from '../../src/take-down.js';

const CGROUP2_MAGIC = 0x63677270;
let scratch: string;
let repo: string;

beforeAll(async () => {
  // The account is really created and removed, in a copy of /etc that only this mount namespace sees; that it is one
  // of our own shows in the network namespace that was made together with it.
  const links = await execa('ip', ['-br', 'link']);
  expect(links.stdout.split('\n').map((line) => line.split(/\s+/)[0])).toEqual(['lo']);
  scratch = mkdtempSync(join(tmpdir(), 'mvm-hosttest-'));
  await execa('mount', ['-t', 'tmpfs', 'etc', scratch]);
  cpSync('/etc', join(scratch, 'etc'), { recursive: true, verbatimSymlinks: true });
  await execa('mount', ['--bind', join(scratch, 'etc'), '/etc']);
  const accounts = ['passwd', 'group', 'shadow', 'gshadow'].map((name) => join('/etc', name));
  for (const path of accounts.filter((candidate) => existsSync(candidate))) {
    writeFileSync(path, readFileSync(path, 'utf8').replace(/^mvm:.*\n/gm, ''));
  }
  // A checkout that nobody but root may enter, as below /root.
  repo = join(scratch, 'closed/repo');
  mkdirSync(join(repo, 'apps'), { recursive: true });
  await execa('chmod', ['700', join(scratch, 'closed')]);
  writeFileSync(join(repo, 'apps/readable'), 'yes');
});

afterAll(async () => {
  await execa('umount', ['/etc']);
  await execa('umount', [scratch]);
  rmSync(scratch, { recursive: true });
});

test('what it prepares is apart from the host, usable by mvm, and gone without a trace', async () => {
  const host = await createDemoHost(repo);
  await host.prepare();
  const state = host.state();
  expect(state).toMatchObject({ createdUser: true, createdGroup: true, kept: false });
  expect(readState(repo)).toEqual(state);
  if (state.holder === null) throw new Error('no holder');
  expect(isAlive(state.holder)).toBe(true);

  const [enter = '', ...inside] = enterPrefix(state.holder);
  const links = await execa(enter, [...inside, 'ip', '-br', 'link']);
  expect(links.stdout.split('\n').map((line) => line.split(/\s+/)[0])).toEqual(['lo']);
  const asMvm = ['setpriv', '--reuid=mvm', '--regid=mvm', '--clear-groups', '--'];
  const node = await execa(enter, [
    ...inside,
    ...asMvm,
    join(state.dir, 'node'),
    '-p',
    `fs.readFileSync(${JSON.stringify(join(state.dir, 'checkout/apps/readable'))}, 'utf8')`,
  ]);
  expect(node.stdout).toBe('yes');

  expect(await takeDown(repo, state)).toEqual({ differences: [], problems: [] });
  expect(isAlive(state.holder)).toBe(false);
  expect(existsSync(state.dir)).toBe(false);
  expect(existsSync(join(repo, 'apps/readable'))).toBe(true);
  expect(readState(repo)).toBeNull();
  expect((await execa('getent', ['passwd', 'mvm'], { reject: false })).exitCode).toBe(2);
});

test('a demo that was killed is taken down from its record, with what still runs in its cgroups', async () => {
  const host = await createDemoHost(repo);
  await host.prepare();
  const { id } = host.state();
  const parent =
    statfsSync('/sys/fs/cgroup').type === CGROUP2_MAGIC ? '/sys/fs/cgroup' : '/sys/fs/cgroup/pids';
  const group = join(parent, id, 'vm');
  mkdirSync(group, { recursive: true });
  const stray = spawn('sleep', ['600'], { stdio: 'ignore' });
  const ended = new Promise((resolve) => stray.once('exit', (_, signal) => resolve(signal)));
  writeFileSync(join(group, 'cgroup.procs'), String(stray.pid));

  const left = readState(repo);
  if (left === null) throw new Error('nothing recorded');
  expect(await takeDown(repo, left)).toEqual({ differences: [], problems: [] });
  expect(await ended).toBe('SIGKILL');
  expect(existsSync(group)).toBe(false);
});

test('what was killed of a kept demo is started again where it was', async () => {
  // Stands for hostd: serves its socket, and nothing else.
  const program = join(repo, 'apps/hostd/bin/mvm-hostd.js');
  mkdirSync(join(repo, 'apps/hostd/bin'), { recursive: true });
  writeFileSync(join(repo, 'apps/hostd/package.json'), '{ "type": "commonjs" }');
  writeFileSync(
    program,
    "const path = process.argv[process.argv.indexOf('--socket') + 1]; require('node:fs').rmSync(path, { force: true }); require('node:fs').writeFileSync(path + '.uid', process.env.MVM_HOSTD_VM_UID_BASE); require('node:net').createServer().listen(path);",
  );
  cpSync(new URL('../../../../deploy/systemd', import.meta.url), join(repo, 'deploy/systemd'), {
    recursive: true,
  });
  const host = await createDemoHost(repo);
  await host.prepare();
  await host.startHostd();
  host.markKept();
  await host.killHostd();
  const killed = readState(repo);
  if (killed === null) throw new Error('nothing recorded');
  expect(partsOf(killed).map(({ name, isRunning }) => [name, isRunning])).toEqual([
    ['namespace', true],
    ['hostd', false],
    ['agentd', false],
  ]);

  // Another process starts it again; VMs that run on keep the users that they have.
  const other = { ...killed, demo: { ...killed.demo, pid: killed.demo.pid + 1 } };
  await (await reopenDemoHost(repo, other)).startHostd();
  expect(readFileSync(join(killed.dir, 'run/hostd.sock.uid'), 'utf8')).toBe(
    String(testUidBase(other.demo.pid)),
  );
  const again = readState(repo);
  if (again === null) throw new Error('nothing recorded');
  expect(again).toMatchObject({ id: killed.id, holder: killed.holder, kept: true });
  expect(partsOf(again)[1]).toMatchObject({ name: 'hostd', isRunning: true });
  expect(await takeDown(repo, again)).toMatchObject({ differences: [] });
  await expect(reopenDemoHost(repo, again)).rejects.toThrow('its network namespace has ended');
});

test('an account that exists is used and stays', async () => {
  await execa('groupadd', ['--system', 'mvm']);
  await execa('useradd', ['--system', '--gid', 'mvm', '--no-create-home', 'mvm']);
  const host = await createDemoHost(repo);
  await host.prepare();
  expect(host.state()).toMatchObject({ createdUser: false, createdGroup: false });
  expect(await takeDown(repo, host.state())).toEqual({ differences: [], problems: [] });
  expect((await execa('getent', ['passwd', 'mvm'], { reject: false })).exitCode).toBe(0);
});
