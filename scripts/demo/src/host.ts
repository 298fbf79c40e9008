import { randomBytes } from 'node:crypto';
import { chownSync, closeSync, existsSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type RunningDaemon, snapshotHost, startDaemon, testUidBase } from '@mvm/testkit';
import { ACCOUNT_NAME, type Account, ensureAccount } from './account.js';
import { type DemoState, writeState } from './demo-state.js';
import { createNamespace, type DemoNamespace, enterPrefix } from './namespace.js';
import { type DemoPaths, demoPaths } from './paths.js';
import { isAlive, type ProcessRef, processRef } from './processes.js';

/**
 * A host inside the host: directory, namespace, user, daemons.
 *
 * INVARIANTS: what is made is in the state file first or at once after, so that a killed run can be taken down; both
 * daemons are in sessions of their own, so that Ctrl-C reaches only the demo, which then stops them in order.
 */
export interface DemoHost {
  readonly paths: DemoPaths;
  readonly state: () => DemoState;
  prepare(): Promise<void>;
  startHostd(): Promise<RunningDaemon>;
  /** SIGKILL, as a crash would be; resolves once it is gone. */
  killHostd(): Promise<void>;
  startAgentd(): Promise<RunningDaemon>;
  markKept(): void;
}

/** The demo that an earlier run left, to start again in it what has ended. Throws when its namespace has ended. */
export async function reopenDemoHost(repo: string, left: DemoState): Promise<DemoHost> {
  const { holder, dir } = left;
  if (holder === null || !isAlive(holder))
    throw new Error('its network namespace has ended, and its VMs with it');
  const namespace = { holder, repoRoot: join(dir, 'checkout'), nodePath: join(dir, 'node') };
  return demoHost(repo, left, { account: await ensureAccount(), namespace });
}

/** Nothing is made before `prepare`; the host as it is now is what `takeDown` compares with. */
export async function createDemoHost(repo: string): Promise<DemoHost> {
  const id = `mvm-demo-${randomBytes(3).toString('hex')}`;
  const dir = join(shortTemporaryDirectory(), id);
  const demo = processRef(process.pid);
  if (demo === null) throw new Error('/proc is not mounted');
  const state: DemoState = {
    id,
    dir,
    demo,
    before: await snapshotHost({ marks: [id] }),
    createdUser: false,
    createdGroup: false,
    holder: null,
    hostd: null,
    agentd: null,
    kept: false,
  };
  return demoHost(repo, state, { account: null, namespace: null });
}

function demoHost(
  repo: string,
  first: DemoState,
  made: { readonly account: Account | null; readonly namespace: DemoNamespace | null },
): DemoHost {
  let state = first;
  let { account, namespace } = made;
  const { id, dir } = state;
  const paths = demoPaths(dir);

  const remember = (change: Partial<DemoState>): void => {
    state = { ...state, ...change };
    writeState(repo, state);
  };
  const running = (daemon: RunningDaemon): ProcessRef => {
    const ref = processRef(daemon.pid);
    if (ref === null) throw new Error('a daemon ended right after it had started');
    return ref;
  };
  const prepared = (): { account: Account; namespace: DemoNamespace } => {
    if (account === null || namespace === null) throw new Error('prepare() comes first');
    return { account, namespace };
  };

  return {
    paths,
    state: () => state,
    async prepare() {
      remember({});
      mkdirSync(dir, { mode: 0o755 });
      account = await ensureAccount();
      remember({ createdUser: account.createdUser, createdGroup: account.createdGroup });
      mkdirSync(paths.hostdRun, { mode: 0o755 });
      mkdirSync(paths.agentdRun, { mode: 0o755 });
      chownSync(paths.agentdRun, account.uid, account.gid);
      namespace = await createNamespace(dir, repo);
      remember({ holder: namespace.holder });
    },
    async startHostd() {
      const { namespace } = prepared();
      const daemon = await withLog(paths.hostdLog, (logFd) =>
        startDaemon({
          daemon: 'hostd',
          socketPath: paths.hostdSocket,
          prefix: [...enterPrefix(namespace.holder), ...restrictTo(hostdCapabilities(repo))],
          place: namespace,
          detached: true,
          logFd,
          // The same in every run of one demo: VMs that outlived an earlier hostd keep their users.
          env: { MVM_HOSTD_VM_UID_BASE: String(testUidBase(state.demo.pid)) },
          args: [
            ...['--socket', paths.hostdSocket, '--state-dir', paths.hostdState, '--run-dir', paths.hostdRun],
            ...['--group', ACCOUNT_NAME, '--cgroup-parent', id],
          ],
        }),
      );
      remember({ hostd: running(daemon) });
      return daemon;
    },
    async killHostd() {
      const { hostd } = state;
      if (hostd === null || !isAlive(hostd)) throw new Error('hostd does not run');
      process.kill(hostd.pid, 'SIGKILL');
      // Until it is reaped: a thread of it may still hold the socket while the process counts as dead already.
      while (existsSync(`/proc/${hostd.pid}`)) await sleep(5);
    },
    async startAgentd() {
      const { account, namespace } = prepared();
      const daemon = await withLog(paths.agentdLog, (logFd) =>
        startDaemon({
          daemon: 'agentd',
          socketPath: paths.agentdSocket,
          prefix: [...enterPrefix(namespace.holder), ...becomeUnprivileged(account)],
          place: namespace,
          detached: true,
          logFd,
          args: [
            ...['--socket', paths.agentdSocket, '--hostd-socket', paths.hostdSocket],
            ...['--state-dir', paths.agentdState],
          ],
        }),
      );
      remember({ agentd: running(daemon) });
      return daemon;
    },
    markKept: () => remember({ kept: true }),
  };
}

/** What the systemd unit allows hostd: one list, so that the demo shows whether it is enough. */
function hostdCapabilities(repo: string): string[] {
  const unit = readFileSync(join(repo, 'deploy/systemd/mvm-hostd.service'), 'utf8');
  const line = /^CapabilityBoundingSet=(.+)$/m.exec(unit)?.[1];
  if (line === undefined) throw new Error('deploy/systemd/mvm-hostd.service has no CapabilityBoundingSet');
  return line.split(/\s+/).map((name) => name.replace(/^CAP_/, '').toLowerCase());
}

function restrictTo(capabilities: readonly string[]): string[] {
  const set = ['-all', ...capabilities.map((name) => `+${name}`)].join(',');
  return ['setpriv', `--bounding-set=${set}`, `--inh-caps=-all`, '--no-new-privs', '--'];
}

function becomeUnprivileged(account: Account): string[] {
  return [
    'setpriv',
    `--reuid=${account.uid}`,
    `--regid=${account.gid}`,
    '--init-groups',
    '--inh-caps=-all',
    '--bounding-set=-all',
    '--no-new-privs',
    '--',
  ];
}

async function withLog<T>(path: string, use: (fd: number) => Promise<T>): Promise<T> {
  const fd = openSync(path, 'a', 0o600);
  try {
    return await use(fd);
  } catch (error) {
    const tail = readFileSync(path, 'utf8').split('\n').slice(-15).join('\n');
    throw new Error(`${error instanceof Error ? error.message : String(error)}\n${tail}`, { cause: error });
  } finally {
    closeSync(fd);
  }
}

/** Unix socket paths end at 107 bytes, so a long TMPDIR will not do. */
function shortTemporaryDirectory(): string {
  const dir = tmpdir();
  return dir.length <= 24 ? dir : '/tmp';
}
