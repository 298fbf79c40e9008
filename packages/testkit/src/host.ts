import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createHostdClient, type HostdClient } from '@mvm/hostd-client';
import { removeCgroups } from '@mvm/node-host';
import { parseBridgeName, parseTapName } from '@mvm/protocol/names';
import { type AgentdPlace, createAgentdPlace } from './agentd-place.js';
import { type RunningDaemon, startDaemon } from './daemon.js';
import { requireOwnNetwork } from './own-network.js';
import { callVersionOne } from './version-one-client.js';

export { type AgentdPlace, UNPRIVILEGED } from './agentd-place.js';

/** How to start a host's hostd, besides the host's own settings. */
export interface StartOptions {
  readonly args?: readonly string[];
  /** With `MVM_FAILPOINT` the build for crash tests is started: no other has failpoints. */
  readonly env?: Readonly<Record<string, string>>;
  /** See {@link startDaemon}. */
  readonly prefix?: readonly string[];
  /** See {@link startDaemon}. */
  readonly logFd?: number;
}

/** What tests differ in. */
export interface HostOptions {
  /** Its directory's name begins with it; `mvmh` by default. */
  readonly prefix?: string;
  /** Where its directory is; `/tmp` by default. */
  readonly parent?: string;
  /** The group that may use hostd's socket; by default none exists, and only root may. */
  readonly group?: string;
  /** `none`: no hostd is started, at most a model of one listens on its socket. Such a host needs no root. */
  readonly hostd?: 'none';
}

/** One hostd and one agentd with state, run directory, sockets and cgroup that no other test has. */
export interface Host {
  /** 0755, so that other users reach the sockets. */
  readonly dir: string;
  readonly stateDir: string;
  readonly runDir: string;
  /** Of hostd. */
  readonly socketPath: string;
  readonly cgroupParent: string;
  /** The flags of `mvm-hostd serve` that name these places. */
  readonly args: readonly string[];
  readonly agentd: AgentdPlace;
  /** Starts hostd, or starts it again. */
  start(options?: StartOptions): Promise<RunningDaemon>;
  /** A new client of hostd; `dispose` closes it. */
  client(): HostdClient;
  /** One version 1 exchange by a client that shares no code with ours. */
  v1(body: unknown): Promise<unknown>;
  /** Stops the daemons that were started here. */
  stop(): Promise<void>;
  /** Kills VMs, and takes down the networks that hostds of this network namespace have set up. The daemons have ended. */
  takeDown(): Promise<void>;
  /** Stops the daemons, takes down what they left, and removes the directory. */
  dispose(): Promise<void>;
}

let count = 0;

/**
 * Makes the directories of a host. Starts nothing. Throws in a network namespace that leads anywhere, see
 * {@link requireOwnNetwork}, unless the host is without hostd.
 */
export async function createHost(options: HostOptions = {}): Promise<Host> {
  const { prefix = 'mvmh', parent = '/tmp', group = 'mvmh-none', hostd } = options;
  if (hostd !== 'none') {
    requireOwnNetwork();
    execFileSync('ip', ['link', 'set', 'lo', 'up']);
  }
  const dir = await mkdtemp(join(parent, `${prefix}-`));
  await chmod(dir, 0o755);
  count += 1;
  const stateDir = join(dir, 's');
  const runDir = join(dir, 'r');
  const socketPath = join(runDir, 'hostd.sock');
  const cgroupParent = `${prefix}-${process.pid}-${count}`;
  const args = [
    ...['--state-dir', stateDir, '--run-dir', runDir, '--socket', socketPath],
    ...['--cgroup-parent', cgroupParent, '--group', group, '--log-level', 'debug'],
  ];
  const daemons: RunningDaemon[] = [];
  const clients: HostdClient[] = [];
  if (hostd === 'none') await mkdir(runDir);
  const agentd = await createAgentdPlace(join(dir, 'a'), socketPath, (daemon) => daemons.push(daemon));
  const host: Host = {
    dir,
    stateDir,
    runDir,
    socketPath,
    cgroupParent,
    args,
    agentd,
    start: async (start = {}) => {
      const daemon = await startDaemon({
        ...start,
        ...(start.env?.MVM_FAILPOINT === undefined ? {} : { program: 'mvm-hostd-crash' }),
        daemon: 'hostd',
        socketPath,
        args: [...args, ...(start.args ?? [])],
      });
      daemons.push(daemon);
      return daemon;
    },
    client: () => {
      const client = createHostdClient({ socketPath, clientName: 'test' });
      clients.push(client);
      return client;
    },
    v1: (body) => callVersionOne(socketPath, body, 60_000),
    stop: async () => {
      // The last one first: agentd asks hostd until it ends.
      for (const daemon of daemons.splice(0).reverse()) await daemon.stop();
    },
    takeDown: async () => {
      await removeCgroups(cgroupParent);
      removeNetwork();
    },
    dispose: async () => {
      for (const client of clients) await client.close();
      await agentd.client.close();
      await host.stop();
      if (hostd !== 'none') await host.takeDown();
      await rm(dir, { recursive: true, force: true });
    },
  };
  return host;
}

/** What hostd makes for tenants: bridges, TAPs, tables. By the names alone, so that the package that makes them is not used. */
function removeNetwork(): void {
  const run = (program: string, ...args: string[]): string =>
    execFileSync(program, args, { encoding: 'utf8' });
  const links = JSON.parse(run('ip', '-j', 'link', 'show')) as { ifname: string }[];
  for (const { ifname } of links)
    if (parseTapName(ifname) !== null || parseBridgeName(ifname) !== null)
      run('ip', 'link', 'delete', ifname);
  const { nftables } = JSON.parse(run('nft', '-j', 'list', 'tables')) as {
    nftables: { table?: { family: string; name: string } }[];
  };
  for (const { table } of nftables)
    if (table?.name === 'mvm') run('nft', 'delete', 'table', table.family, table.name);
}
