import { randomBytes } from 'node:crypto';
import { readlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { FrameServer } from '@mvm/framing';
import { createNetworkExecutor, findConntrackProblem, type NetworkExecutor } from '@mvm/net-executor/execute';
import { readDefaultRouteLinks } from '@mvm/net-executor/observe';
import { createSpaceReserve } from '@mvm/node-host';
import { CodedError } from '@mvm/protocol';
import { checkPeerCredentials, createGroupLookup } from '@mvm/unix-peer';
import type { Logger } from 'pino';
import { createCgroups } from './cgroup/cgroups.js';
import type { HostdConfig } from './config/settings.js';
import { keepLogBounded, readLog } from './console/console-log.js';
import { buildConfigDrive } from './disk/config-drive.js';
import { ensureDataDisk } from './disk/data-disk.js';
import { checkEncryptedDisk, makeEncryptedDisk } from './disk/encrypted-disk.js';
import { buildSecretsDrive } from './disk/secrets-drive.js';
import { wipeFile } from './disk/wipe-file.js';
import { type ExecutionHooks, noHooks } from './execute/hooks.js';
import { createJournal } from './execute/journal.js';
import { createPoolImages } from './execute/pool-images.js';
import type { HostPorts } from './execute/ports.js';
import { stepExecutors } from './execute/steps/table.js';
import { createVmRegistry } from './execute/vm-registry.js';
import { createNetworkProbes } from './network-probe/network-probes.js';
import { createChangeFeed } from './operations/change-feed.js';
import type { OperationDeps } from './operations/operation.js';
import { type OperationContext, systemClock } from './operations/operation-context.js';
import { reapOnExit } from './operations/reap-on-exit.js';
import { recoverHost } from './operations/recover-host.js';
import { createReservations } from './operations/reservations.js';
import { createOperationRunner } from './operations/runner.js';
import { watchLife } from './operations/watch-life.js';
import { parsePortRange } from './plan/plan-pool.js';
import { vmUidRange } from './plan/port.js';
import { createDispatch } from './requests/dispatch.js';
import { createPrepareStream } from './requests/open-stream.js';
import { createServer } from './server/create-server.js';
import { createStreamLimits } from './server/stream-limits.js';
import { withSpaceReserve } from './state/atomic-file.js';
import { createAuditLog } from './state/audit-log.js';
import { exists } from './state/exists.js';
import { createLayout } from './state/layout.js';
import { createPoolRevisions } from './state/pool-revisions.js';
import { openStateStore } from './state/store.js';
import { makeTrustedDirectory, requireTrustedDirectory } from './state/trusted-directory.js';
import { forbidCoreDumps } from './system/core-dumps.js';
import { hostFacts } from './system/host-facts.js';
import { createKeyedMutex, type KeyedMutex } from './system/keyed-mutex.js';
import { shareRuns } from './system/share-runs.js';
import { type HostLock, lockCgroups, lockNetwork, lockStateDir, lockVmUids } from './system/state-lock.js';
import { createSteadyClock } from './system/steady-clock.js';
import { createTenantKeys, type KeySources, takeKeySources } from './system/tenant-keys.js';
import { HOSTD_VERSION } from './version.js';
import { chooseDrivers } from './vmm/choose-driver.js';
import type { BoundLog } from './vmm/process/bound-log.js';
import { createVmProcesses } from './vmm/process/vm-processes.js';
import type { Vmm } from './vmm/vmm.js';

/** A daemon that serves. */
export interface Daemon {
  /**
   * Stop serving, finish what is under way, leave VMs running. False when something does not finish in time: it goes on,
   * and holds on to the state directory, until this process ends, which the caller now has to do; the next start settles
   * it. With `force`, connections are cut at once, and nothing is waited for.
   */
  close(options: { readonly force: boolean }): Promise<boolean>;
}

/** How long requests under way may take to finish when the daemon is stopped. */
const CLOSE_TIMEOUT_MS = 30_000;

/** Makes the driver that runs the VMs. */
export type VmmFactory = (config: HostdConfig, logger: Logger, boundLog: BoundLog) => Vmm | Promise<Vmm>;

/** What another entry than the daemon's own starts it with; no configuration reaches it. */
export interface DaemonOverrides {
  readonly hooks?: ExecutionHooks;
  readonly createVmm?: VmmFactory;
}

function chooseVmm(config: HostdConfig, logger: Logger, boundLog: BoundLog): Promise<Vmm> {
  const { vmm, qemuBinary, firecrackerBinary, jailerBinary, vmNamespaces } = config;
  return chooseDrivers({
    ...{ vmm, qemuBinary, firecrackerBinary, jailerBinary, vmNamespaces, boundLog, logger },
    logLimitBytes: config.consoleLimitKib * 1024,
    proofDir: join(config.runDir, 'firecracker-proof'),
    // The first id, which no VM has: networks and addresses count from one.
    proofUid: config.vmUidBase,
  });
}

async function buildPorts(
  config: HostdConfig,
  logger: Logger,
  { hooks = noHooks, createVmm = chooseVmm }: DaemonOverrides,
  mutex: KeyedMutex,
  keySources: KeySources,
): Promise<HostPorts> {
  const layout = createLayout(config.stateDir, config.runDir);
  const boundLog: BoundLog = (path) =>
    keepLogBounded(path, {
      limitBytes: config.consoleLimitKib * 1024,
      onError: (error) => logger.warn({ path, err: error }, 'a log could not be kept below its limit'),
    });
  const vmm = await createVmm(config, logger, boundLog);
  const store = await openStateStore(layout);
  return {
    layout,
    store,
    images: createPoolImages({ store, revisions: createPoolRevisions(layout), mutex }),
    network: sharingReads(
      createNetworkExecutor({
        clusterCidr: config.clusterCidr,
        uplinks: config.uplink.length === 0 ? 'auto' : config.uplink,
        vmmUids: vmUidRange(config.vmUidBase),
        logger,
      }),
    ),
    cgroups: await createCgroups({ parent: config.cgroupParent }),
    vmm,
    vms: createVmRegistry(),
    disks: {
      buildConfigDrive,
      buildSecretsDrive,
      ensureDataDisk,
      makeEncryptedDisk,
      checkEncryptedDisk,
      exists,
      wipeFile,
    },
    readLog,
    processes: createVmProcesses(layout.vmSocketsDir, config.vmUidBase, (name) => vmm.isVmmProgram(name)),
    keys: createTenantKeys(config.tenantKeysDir, keySources),
    hooks,
    logger,
  };
}

/** However many callers want to know, one child process looks at a time. */
function sharingReads(network: NetworkExecutor): NetworkExecutor {
  return {
    ...network,
    drops: shareRuns(() => network.drops()),
    inspect: shareRuns(
      (netId?: number) => network.inspect(netId),
      (netId) => netId,
    ),
  };
}

function requireRoot(): void {
  if (process.geteuid?.() === 0) return;
  throw new CodedError({
    code: 'permission_denied',
    reason: 'hostd.not_root',
    message: `mvm-hostd runs as user ${process.geteuid?.()}, and needs root`,
    hint: 'Start it by systemd (mvm-hostd.service), or with sudo.',
  });
}

/** Only root can change the directories that hold root's files; the socket's may be shared, as /run/mvm is. */
async function requireTrustedDirectories({ stateDir, runDir, socket }: HostdConfig): Promise<void> {
  await requireTrustedDirectory(stateDir);
  await requireTrustedDirectory(join(runDir, 'vm'));
  await requireTrustedDirectory(runDir);
  await requireTrustedDirectory(dirname(socket), { shared: true });
}

/**
 * Start everything: peer check, lock, state, recovery, and only then the socket, so that no request meets a host that
 * is not in order. `inherited` is a listening socket from systemd. Throws CodedError when the
 * daemon cannot run; then nothing of it is left, and VMs that ran still run.
 */
export async function startDaemon(
  config: HostdConfig,
  logger: Logger,
  inherited: { readonly fd: number } | null,
  overrides: DaemonOverrides = {},
): Promise<Daemon> {
  requireRoot();
  // Before any program is started, so that none gets a key.
  const keySources = takeKeySources(process.env);
  forbidCoreDumps((problem) => logger.warn({ problem }, 'core dumps could not be forbidden'));
  await checkPeerCredentials();
  await requireTrustedDirectories(config);
  await makeTrustedDirectory(config.stateDir, { mode: 0o700 });
  const locks: HostLock[] = [lockStateDir(config.stateDir)];
  const unlock = (): void => {
    for (const lock of locks.splice(0)) lock.release();
  };
  let ports: HostPorts | null = null;
  const closing = new AbortController();
  try {
    locks.push(lockNetwork());
    await makeTrustedDirectory(config.runDir, { mode: 0o755 });
    const mutex = createKeyedMutex();
    ports = await buildPorts(config, logger, overrides, mutex, keySources);
    locks.push(lockCgroups(ports.cgroups.root, config.cgroupParent));
    locks.push(lockVmUids(ports.cgroups.root, config.vmUidBase));
    const { server, listenTarget } = await prepare(config, logger, ports, mutex, inherited, closing.signal);
    await server.listen(listenTarget);
    const running = ports;
    return {
      close: async ({ force }) => {
        closing.abort();
        await server.close({ timeoutMs: force ? 1 : CLOSE_TIMEOUT_MS });
        // Operations under way keep their VMs and the lock: without them, they would take a living guest for dead.
        if (!force && !mutex.idle()) return false;
        running.vms.detachAll();
        await running.network.close();
        unlock();
        return true;
      },
    };
  } catch (error) {
    closing.abort();
    ports?.vms.detachAll();
    unlock();
    throw error;
  }
}

async function prepare(
  config: HostdConfig,
  logger: Logger,
  ports: HostPorts,
  mutex: KeyedMutex,
  inherited: { readonly fd: number } | null,
  signal: AbortSignal,
): Promise<{ server: FrameServer; listenTarget: Parameters<FrameServer['listen']>[0] }> {
  const { store, layout, vmm } = ports;
  const capabilities = await vmm.capabilities();
  const { accelerator, acceleratorReason: reason } = capabilities;
  logger.info({ accelerator, reason }, 'accelerator chosen');
  const conntrackProblem = await findConntrackProblem();
  if (conntrackProblem !== null)
    logger.warn({ err: conntrackProblem }, 'conntrack does not work: no instance can start until it does');
  const reserve = createSpaceReserve(layout.reserveDir);
  const audit = ports.hooks.audit(
    createAuditLog(layout, {
      retentionDays: (tenantId) => store.tenant(tenantId)?.audit_retention_days ?? null,
      isClockSteady: createSteadyClock(),
      onProblem: (tenant, error) =>
        logger.error({ tenant, err: error }, 'an audit log could not be repaired or trimmed'),
    }),
  );
  await reserve.fill();
  await audit.repair(systemClock.now());
  const newOpId = (): string => randomBytes(8).toString('hex');
  const systemContext = (): OperationContext => {
    const opId = newOpId();
    return { opId, peer: null, logger: logger.child({ op: opId }), auditDetails: new Map() };
  };
  const journal = ports.hooks.journal(createJournal(layout, (kind) => Object.hasOwn(stepExecutors, kind)));
  const { vmUidBase, clusterCidr } = config;
  const reservations = createReservations(store);
  const clock = systemClock;
  const publishPorts = config.publishPorts.map(parsePortRange);
  const deps: OperationDeps = {
    ...{ ports, store, journal, audit, reservations, mutex, clock },
    ...{ randomBytes, clusterCidr, hostFacts, publishPorts, vmUidBase, accelerator },
  };
  const runner = createOperationRunner({ ...deps, maxParallel: config.maxParallelOperations });
  const changes = createChangeFeed(signal);
  reapOnExit({ reserve, ports, runner, audit, clock, systemContext, signal, changes });
  watchLife({ ports, audit, clock, systemContext, changes, signal });
  const began = performance.now();
  const report = await withSpaceReserve(reserve, () =>
    recoverHost(ports, runner, vmUidBase, systemContext(), signal),
  );
  ports.network.watch((event) => {
    logger.warn({ network: event.kind, err: event.error }, 'the tenants’ network was disturbed from outside');
  });
  logger.info({ ...report, ms: performance.now() - began }, 'host is in line with the records');
  const facts = {
    hostdVersion: HOSTD_VERSION,
    startedAt: systemClock.now(),
    capabilities,
    clusterCidr,
    networkNamespace: readlinkSync('/proc/self/ns/net'),
    uplinks: () => (config.uplink.length === 0 ? readDefaultRouteLinks() : config.uplink),
    vmmVersion: () => vmm.version().catch(() => null),
  };
  const probes = createNetworkProbes({ ports, mutex, vmUidBase: config.vmUidBase });
  const services = { ports, runner, audit, probes, facts, changes };
  const dispatch = createDispatch({ services, audit, clock: systemClock, newOpId, logger, reserve });
  const streams = {
    prepare: createPrepareStream({ ports, audit, clock: systemClock, newOpId, logger }),
    limits: createStreamLimits(),
  };
  const server = createServer(config, logger, { dispatch, streams });
  if (inherited !== null) return { server, listenTarget: inherited };
  await makeTrustedDirectory(dirname(config.socket), { mode: 0o755, shared: true });
  const gid = createGroupLookup(config.group)()?.gid;
  if (gid === undefined)
    logger.warn({ group: config.group }, 'the group does not exist: only root may connect');
  return { server, listenTarget: { path: config.socket, mode: 0o660, gid: gid ?? 0 } };
}
