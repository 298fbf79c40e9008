import { chmod, chown, mkdir, mkdtemp, rm, stat, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makeTrustedDirectory } from '../../src/state/trusted-directory.js';

const program = fileURLToPath(new URL('../../bin/mvm-hostd.js', import.meta.url));
const AGENT = 64_123;
let dir: string;

beforeEach(async () => {
  dir = await mkdtemp('/tmp/mvm-dirs-');
  await chmod(dir, 0o755);
});
afterEach(() => rm(dir, { recursive: true }));

/** What hostd says when it is started with these directories. */
async function start(stateDir: string, runDir: string): Promise<{ exitCode: number; stderr: string }> {
  const args = ['--state-dir', stateDir, '--run-dir', runDir, '--socket', join(dir, 'hostd.sock')];
  const more = ['--cgroup-parent', `mvm-dirs-${process.pid}`, '--group', 'mvmh-none'];
  const result = await execa(process.execPath, [program, 'serve', ...args, ...more], {
    reject: false,
    timeout: 15_000,
  });
  return { exitCode: result.exitCode ?? -1, stderr: result.stderr };
}

type Make = () => Promise<[stateDir: string, runDir: string]>;
const cases: [string, Make][] = [
  [
    'a run directory that a group may write to, sticky or not',
    async () => {
      await mkdir(join(dir, 'r'));
      await chown(join(dir, 'r'), 0, AGENT);
      await chmod(join(dir, 'r'), 0o1770);
      return [join(dir, 's'), join(dir, 'r')];
    },
  ],
  [
    'a run directory whose vm is another user’s',
    async () => {
      await mkdir(join(dir, 'r', 'vm'), { recursive: true });
      await chown(join(dir, 'r', 'vm'), AGENT, AGENT);
      return [join(dir, 's'), join(dir, 'r')];
    },
  ],
  [
    'a state directory below one that another user can change',
    async () => {
      await mkdir(join(dir, 'home', 's'), { recursive: true });
      await chown(join(dir, 'home'), AGENT, AGENT);
      return [join(dir, 'home', 's'), join(dir, 'r')];
    },
  ],
  [
    'a state directory behind another user’s link',
    async () => {
      await mkdir(join(dir, 's'));
      await mkdir(join(dir, 'open'));
      await chmod(join(dir, 'open'), 0o1777);
      await execa('setpriv', [
        ...['--reuid', String(AGENT), '--clear-groups', '--'],
        ...['ln', '-s', join(dir, 's'), join(dir, 'open', 's')],
      ]);
      return [join(dir, 'open', 's'), join(dir, 'r')];
    },
  ],
];

test.each(cases)('finding 5: hostd does not start with %s', async (_, make) => {
  const [stateDir, runDir] = await make();
  const { exitCode, stderr } = await start(stateDir, runDir);
  expect(stderr).toContain('state.unsafe_directory');
  expect(exitCode).toBe(4);
});

test('finding 5: a link of root’s is followed', async () => {
  await mkdir(join(dir, 's'));
  await symlink(join(dir, 's'), join(dir, 'link'));
  const { stderr } = await start(join(dir, 'link'), '/dev/null/r');
  expect(stderr).not.toContain('state.unsafe_directory');
});

test('a directory that another user is quicker to make is refused', async () => {
  const open = join(dir, 'open');
  await mkdir(open);
  await chmod(open, 0o1777);
  await makeTrustedDirectory(join(open, 'a', 'b'), { mode: 0o700 });
  expect((await stat(join(open, 'a', 'b'))).mode & 0o777).toBe(0o700);
  const quicker = async () => {
    await mkdir(join(open, 'c', 'd'), { recursive: true });
    await chown(join(open, 'c'), AGENT, AGENT);
  };
  await expect(makeTrustedDirectory(join(open, 'c', 'd'), { mode: 0o700 }, quicker)).rejects.toMatchObject({
    reason: 'state.unsafe_directory',
    details: { path: join(open, 'c') },
  });
});
