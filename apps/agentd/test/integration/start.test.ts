import { chmod, mkdir, open, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type AgentdPlace, createHost, type Host, UNPRIVILEGED } from '@mvm/testkit/host';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runAgentd } from '../harness/agentd.js';

let host: Host;
let agentd: AgentdPlace;
beforeEach(async () => {
  host = await createHost({ hostd: 'none' });
  agentd = host.agentd;
});
afterEach(() => host.dispose());

const isRoot = process.getuid?.() === 0;

function serve(...args: string[]): string[] {
  return [
    'serve',
    '--socket',
    agentd.socketPath,
    '--state-dir',
    agentd.stateDir,
    '--hostd-socket',
    host.socketPath,
    ...args,
  ];
}

describe('privileges', () => {
  // Without root, a user namespace gives a process uid 0, or capabilities, of its own.
  const asRoot = isRoot ? [] : ['unshare', '--map-root-user'];
  const withCapability = isRoot
    ? [
        ...['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'],
        ...['--inh-caps=+net_admin', '--ambient-caps=+net_admin', '--bounding-set=-all,+net_admin'],
      ]
    : ['unshare', '--user', '--map-user=1000', '--keep-caps'];

  it('of root are refused, with the next step', async () => {
    const { status, stderr } = await runAgentd(serve(), asRoot);
    expect(status).toBe(4);
    expect(stderr).toContain('refuses to run as root');
    expect(stderr).toContain('--allow-root');
  });

  it('as capabilities are refused, and named', async () => {
    const { status, stderr } = await runAgentd(serve(), withCapability);
    expect(status).toBe(4);
    expect(stderr).toMatch(/refuses to run with capabilities: its effective set is [0-9a-f]*[1-9a-f]/);
    expect(stderr).toContain('capsh --decode=');
  });

  it('are not there: no capability in any set, no new privileges, no group', async () => {
    const daemon = await agentd.start();
    const status = await readFile(`/proc/${daemon.pid}/status`, 'utf8');
    for (const set of ['CapPrm', 'CapEff', 'CapAmb'])
      expect(status).toMatch(new RegExp(`^${set}:\\s0+$`, 'm'));
    expect(status).not.toMatch(/^Uid:\s+0\b/m);
  });
});

it('serves, and ends as usual, while its log has no space', async () => {
  const full = await open('/dev/full', 'w');
  try {
    const daemon = await agentd.start([], { logFd: full.fd });
    // hostd is not there: each pass has something to log.
    await agentd.client.reconcile();
    await agentd.client.reconcile();
    expect(await agentd.client.getStatus()).toMatchObject({ hostd: { state: 'unreachable' } });
    expect(await daemon.stop()).toBe('status 0');
  } finally {
    await full.close();
  }
});

it('removes the unfinished files that a killed one left', async () => {
  const first = await agentd.start();
  await first.kill();
  await writeFile(join(agentd.stateDir, '.desired.json.tmp-7-1'), '{');
  await agentd.start();
  expect(await readdir(agentd.stateDir)).not.toContain('.desired.json.tmp-7-1');
});

describe('a second agentd', () => {
  it('is refused for the same state directory', async () => {
    await agentd.start();
    const other = join(agentd.dir, 'other.sock');
    const { status, stderr } = await runAgentd([...serve(), '--socket', other]);
    expect(status).toBe(4);
    expect(stderr).toContain('another mvm-agentd uses the state directory');
  });

  it('is refused for the same socket, which stays with the first', async () => {
    await agentd.start();
    const { status, stderr } = await runAgentd([...serve(), '--state-dir', join(agentd.dir, 'other')]);
    expect(status).toBe(4);
    expect(stderr).toContain('another process listens');
    expect((await agentd.client.getStatus()).agentd.pid).toBeGreaterThan(0);
  });

  it('starts after the first was killed, whose socket is still there', async () => {
    const first = await agentd.start();
    await first.kill();
    expect((await stat(agentd.socketPath)).isSocket()).toBe(true);
    const second = await agentd.start();
    expect((await agentd.client.getStatus()).agentd.pid).toBe(second.pid);
    expect((await readdir(join(agentd.dir))).sort()).toEqual(['agentd.sock', 'state']);
  });
});

describe('the socket', () => {
  it('is open to owner and group only', async () => {
    await agentd.start();
    expect((await stat(agentd.socketPath)).mode & 0o777).toBe(0o660);
    expect((await stat(agentd.stateDir)).mode & 0o777).toBe(0o700);
  });

  it('has a path that fits', async () => {
    const long = join(host.dir, 'x'.repeat(110));
    const { status, stderr } = await runAgentd([...serve(), '--socket', long]);
    expect(status).toBe(2);
    expect(stderr).toContain('--socket');
    expect(stderr).toContain('107 bytes');
  });

  it('never replaces a file', async () => {
    await writeFile(agentd.socketPath, 'precious');
    const { status, stderr } = await runAgentd(serve());
    expect(status).toBe(4);
    expect(stderr).toContain('is not a socket');
    expect((await stat(agentd.socketPath)).size).toBe(8);
  });

  it('in a directory that is not ours is a clear error', async () => {
    const closed = join(host.dir, 'closed');
    await mkdir(closed, { mode: 0o755 });
    if (!isRoot) await chmod(closed, 0o555);
    const { status, stderr } = await runAgentd([...serve(), '--socket', join(closed, 's')]);
    expect(status).toBe(5);
    expect(stderr).toContain('cannot listen on');
  });
});

describe('bad settings', () => {
  it.each([
    [['--interval', 'soon'], '--interval'],
    [['--pinned', 'acme/workers/x'], 'tenant/pool'],
    [['--state-dir', 'relative'], 'absolute path'],
    [['--config', '/nonexistent.toml'], '/nonexistent.toml'],
  ])('%j is refused, naming the place', async (args, expected) => {
    const { status, stderr } = await runAgentd([...serve(), ...args]);
    expect(status).toBe(2);
    expect(stderr).toContain(expected);
  });

  it('an unknown flag is refused', async () => {
    expect(await runAgentd(['serve', '--nosuch'])).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('--nosuch'),
    });
  });

  it('a state directory that cannot be made is a clear error', async () => {
    const { status, stderr } = await runAgentd(
      [...serve(), '--state-dir', '/proc/nosuch/state'],
      UNPRIVILEGED,
    );
    expect(status).toBeGreaterThan(0);
    expect(stderr).toContain('cannot use the state directory');
  });
});
