import { chmod } from 'node:fs/promises';
import { createHostdClient, type HostdClient } from '@mvm/hostd-client';
import { readClockOffset, removeTemporaryFiles } from '@mvm/node-host';
import { CodedError } from '@mvm/protocol';
import { checkPeerCredentials, createGroupLookup, readPeerCredentials } from '@mvm/unix-peer';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { type Activator, createActivator } from './activation/activator.js';
import { checkAccess, roleOf } from './api/access.js';
import type { ApiContext } from './api/handler-types.js';
import { OpenStreams } from './api/open-streams.js';
import { createApiServer } from './api/server.js';
import { serveStreams } from './api/stream-upgrade.js';
import type { AgentdConfig } from './config/settings.js';
import { ApiDesiredSource } from './desired/api-source.js';
import type { DesiredSource } from './desired/desired-source.js';
import { FileDesiredSource } from './desired/file-source.js';
import { createMetrics } from './metrics/metrics.js';
import { renderMetrics } from './metrics/render-metrics.js';
import { serveScrapes } from './metrics/scrape-server.js';
import { createNetworkCheck, type NetworkCheck } from './network/network-check.js';
import { readOwnVersion } from './own-version.js';
import { Reconciler } from './reconcile/loop.js';
import { checkPrivileges, readPrivileges } from './start/check-privileges.js';
import { freeSocketPath } from './start/free-socket.js';
import { lockStateDir } from './start/state-lock.js';
import { DecisionLog } from './state/decision-log.js';
import { HoldStore } from './state/hold-store.js';

/** Looks after which a drift of the network counts as one that hostd, which looks as often by itself, does not repair. */
const DRIFT_PERSISTS_INTERVALS = 1.5;
/** How long VMs must run for their failures to be forgotten. */
const STABLE_MS = 10 * 60_000;

export interface RunningDaemon {
  /** Stop listening and reconciling; VMs and what hostd is doing go on. */
  stop(): Promise<void>;
}

/**
 * The composition root: checks, state, connection, loop, API, in this order; resolves once the API listens. Throws a
 * CodedError with the next step when it cannot start, and then leaves nothing behind.
 */
export async function startDaemon(config: AgentdConfig, logger: Logger): Promise<RunningDaemon> {
  if (!config.allowRoot) checkPrivileges(readPrivileges());
  const lock = await lockStateDir(config.stateDir);
  const closers: (() => Promise<unknown>)[] = [() => lock.release()];
  const closeAll = async (): Promise<void> => {
    for (const close of closers.splice(0).reverse()) await close();
  };
  try {
    await checkPeerCredentials();
    await removeTemporaryFiles(config.stateDir);
    await freeSocketPath(config.socket);
    const now = Date.now;
    const version = readOwnVersion();
    const holds = await HoldStore.open(config.stateDir);
    const decisions = await DecisionLog.open(config.stateDir, logger);
    closers.push(() => decisions.close());
    const desired = await openDesired(config, now);
    closers.push(() => desired.close());
    const client = createHostdClient({ socketPath: config.hostdSocket, clientName: `mvm-agentd/${version}` });
    closers.push(() => client.close());
    const metrics = createMetrics();
    const persistsMs = Math.round(config.interval * DRIFT_PERSISTS_INTERVALS);
    const network = createNetworkCheck({ client, metrics, now, readOffset: readClockOffset, persistsMs });
    const streams = new OpenStreams();
    const activator = createActivator({
      ...{ client, holds, decisions, logger, now },
      actionTimeoutMs: config.actionTimeout,
      enqueue: () => reconciler.enqueue('request'),
    });
    closers.push(() => activator.close());
    const reconciler = createReconciler({
      config,
      client,
      desired,
      holds,
      decisions,
      activator,
      streams,
      metrics,
      network,
      logger,
      now,
    });
    closers.push(() => reconciler.stop());
    const access = accessOf(config);
    const app = await createApiServer(
      {
        client,
        hostdSocket: config.hostdSocket,
        reconciler,
        desired,
        holds,
        decisions,
        streams,
        overrides: { pinned: config.pinned, critical: config.critical },
        metrics,
        network,
        now,
        version,
        startedAt: new Date(now()).toISOString(),
        actionTimeoutMs: config.actionTimeout,
        readPeer: readPeerCredentials,
        checkAccess: access,
      },
      logger,
    );
    const endStreams = serveStreams(app.server, {
      hostdSocket: config.hostdSocket,
      clientName: `mvm-agentd/${version}`,
      streams,
      logger,
      // Whatever it does in the guest, it is no look.
      admit: (socket) => {
        const caller = readPeerCredentials(socket);
        access(caller, 'CONNECT');
        return caller;
      },
    });
    await listen(app, config.socket, config.viewersGroup === null ? 0o660 : 0o666);
    // The client first: it ends what requests are waiting for, so that they are answered before the server is closed.
    closers.push(() => {
      endStreams();
      return Promise.all([app.close(), activator.close(), reconciler.stop(), client.close()]);
    });
    if (config.metricsListen !== null) {
      const scrapes = await serveScrapes(config.metricsListen, () =>
        renderMetrics({ client, reconciler, metrics }),
      );
      closers.push(() => scrapes.close());
      logger.info({ address: config.metricsListen, port: scrapes.port }, 'metrics can be scraped');
    }
    reconciler.start();
    logger.info(
      { socket: config.socket, hostd_socket: config.hostdSocket, version, pid: process.pid },
      'listening',
    );
  } catch (error) {
    await closeAll();
    throw error;
  }
  return { stop: closeAll };
}

function openDesired(config: AgentdConfig, now: () => number): Promise<DesiredSource> {
  if (config.desired === null) return ApiDesiredSource.open(config.stateDir, now);
  return FileDesiredSource.open(config.desired, now);
}

function createReconciler(parts: {
  config: AgentdConfig;
  client: HostdClient;
  desired: DesiredSource;
  holds: HoldStore;
  decisions: DecisionLog;
  activator: Activator;
  streams: OpenStreams;
  metrics: ReturnType<typeof createMetrics>;
  network: NetworkCheck;
  logger: Logger;
  now: () => number;
}): Reconciler {
  const { config, ...rest } = parts;
  return new Reconciler({
    ...rest,
    readOffset: readClockOffset,
    pinned: config.pinned,
    critical: config.critical,
    bootGraceMs: config.bootGrace,
    maxActions: config.maxActions,
    concurrency: config.parallelActions,
    actionTimeoutMs: config.actionTimeout,
    backoff: { baseMs: config.retryDelay, capMs: config.retryDelayCap, stableMs: STABLE_MS },
    pacing: {
      intervalMs: config.interval,
      reconnectMs: 250,
      reconnectCapMs: Math.max(config.interval, 250),
      maxFollowUps: 20,
    },
  });
}

/** Without a group of viewers, the socket's mode alone decides. */
function accessOf({ operatorsGroup, viewersGroup }: AgentdConfig): ApiContext['checkAccess'] {
  if (viewersGroup === null) return () => {};
  const options = {
    operators: createGroupLookup(operatorsGroup),
    viewers: createGroupLookup(viewersGroup),
    ownUid: process.geteuid?.() ?? 0,
  };
  return (peer, method) => checkAccess(roleOf(peer, options), method, peer);
}

async function listen(app: FastifyInstance, path: string, mode: number): Promise<void> {
  // The socket is never open to others, not even between bind and chmod.
  const before = process.umask(0o117);
  try {
    await app.listen({ path });
    await chmod(path, mode);
  } catch (error) {
    const errno = error instanceof Error ? ((error as NodeJS.ErrnoException).code ?? null) : null;
    throw new CodedError({
      code: errno === 'EACCES' ? 'permission_denied' : 'failed_precondition',
      reason: 'socket.listen_failed',
      message: `cannot listen on ${path}: ${errno ?? String(error)}`,
      hint: 'Check that the directory exists and that the user that runs mvm-agentd may write to it.',
      details: { path, errno },
      cause: error,
    });
  } finally {
    process.umask(before);
  }
}
