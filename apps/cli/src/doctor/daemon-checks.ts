import type { AgentdClient, Status, VersionInfo } from '@mvm/agentd-api';
import { type HostInfo, isCodedError, type NetworkReport } from '@mvm/protocol';
import { type Check, type Finding, fail, ok, skip, warn } from './check.js';

/** What the daemons said of themselves; an error in place of an answer that did not come. */
export interface DaemonFacts {
  readonly socketPath: string;
  readonly ownVersion: string;
  readonly version: VersionInfo | Error;
  /** Only asked for when hostd answered. */
  readonly host: HostInfo | Error | undefined;
  /** Likewise. */
  readonly network: NetworkReport | Error | undefined;
  /** Likewise. */
  readonly status: Status | Error | undefined;
}

/** Asks agentd, and through it hostd; never throws. */
export async function askDaemons(
  agentd: AgentdClient,
  facts: Pick<DaemonFacts, 'socketPath' | 'ownVersion'>,
  signal: AbortSignal,
): Promise<DaemonFacts> {
  const options = { signal, timeoutMs: 5000 };
  const version = await agentd.getVersion({}, options).catch(toError);
  const hostdAnswered = !(version instanceof Error) && version.hostd !== null;
  return {
    ...facts,
    version,
    host: hostdAnswered ? await agentd.getHost({}, options).catch(toError) : undefined,
    network: hostdAnswered ? await agentd.verifyNetwork({}, options).catch(toError) : undefined,
    status: hostdAnswered ? await agentd.getStatus({}, options).catch(toError) : undefined,
  };
}

export const daemonChecks: readonly Check<DaemonFacts>[] = [
  { name: 'agentd', area: 'daemons', run: checkAgentd },
  { name: 'hostd', area: 'daemons', run: checkHostd },
  { name: 'versions', area: 'daemons', run: checkVersions },
  { name: 'vmm', area: 'daemons', run: checkVmm },
  { name: 'firecracker-guest', area: 'daemons', run: checkFirecrackerGuest },
  { name: 'images', area: 'daemons', run: checkImages },
  { name: 'tenant-networks', area: 'daemons', run: checkNetworks },
  { name: 'desired-state', area: 'daemons', run: checkDesired },
];

async function checkAgentd({ version, socketPath }: DaemonFacts): Promise<Finding> {
  if (!(version instanceof Error)) return ok(`answers on ${socketPath}`);
  return fail(version.message, hintOf(version) ?? 'journalctl -u mvm-agentd says why it does not answer');
}

async function checkHostd({ version }: DaemonFacts): Promise<Finding> {
  if (version instanceof Error) return skip('agentd, which would ask it, does not answer');
  if (version.hostd !== null) return ok(`answers agentd, protocol ${version.hostd.protocol_version}`);
  const error = version.hostd_error;
  return fail(
    error?.message ?? 'does not answer agentd',
    'systemctl start mvm-hostd; systemctl status mvm-hostd says why it ended',
  );
}

async function checkVersions({ version, ownVersion }: DaemonFacts): Promise<Finding> {
  if (version instanceof Error || version.hostd === null) return skip('not all daemons answer');
  if (!version.compatible) {
    return fail(
      `agentd knows a newer protocol than the ${version.hostd.protocol_version} that hostd speaks`,
      'update hostd to the version of agentd, then restart both',
    );
  }
  const found = {
    mvm: ownVersion,
    agentd: version.agentd.version,
    hostd: version.hostd.version ?? 'not told',
  };
  const text = Object.entries(found)
    .map(([name, each]) => `${name} ${each}`)
    .join(', ');
  return new Set(Object.values(found)).size === 1
    ? ok(`all ${ownVersion}`)
    : warn(text, 'the protocol is the same, so this works; update the older ones when convenient');
}

async function checkVmm({ host }: DaemonFacts): Promise<Finding> {
  if (host === undefined) return skip('hostd does not answer');
  if (host instanceof Error) return fail(host.message, hintOf(host) ?? 'journalctl -u mvm-hostd says why');
  const text = `${host.vmm} ${host.vmm_version ?? '(version unknown)'} with ${host.accelerator}: ${host.accelerator_reason}`;
  return host.vmm_version === null
    ? fail(text, 'install the VMM: apt-get install qemu-system-x86')
    : ok(text);
}

/** hostd runs a tiny guest at its start: neither a Firecracker that is installed nor a /dev/kvm that opens is proof. */
async function checkFirecrackerGuest({ host }: DaemonFacts): Promise<Finding> {
  if (host === undefined || host instanceof Error || host.firecracker === undefined)
    return skip('hostd, which would try it, does not say');
  const { usable, reason } = host.firecracker;
  if (usable) return ok(reason);
  if (host.vmm === 'qemu' && /not tried|is not installed/.test(reason)) return skip(reason);
  const fix = 'correct that and restart hostd, which tries it again: docs/firecracker.md';
  return host.vmm === 'firecracker' ? fail(reason, fix) : warn(`${reason}: QEMU runs the guests`, fix);
}

async function checkImages({ host, status }: DaemonFacts): Promise<Finding> {
  if (host === undefined || host instanceof Error) return skip('hostd does not answer');
  const missing = problemsOf(status).find(({ reason }) => reason.startsWith('image.'));
  if (missing !== undefined) {
    return fail(`${missing.tenant_id}/${missing.pool_id}: ${missing.message}`, 'sudo mvm image add --help');
  }
  const broken = host.images.filter(({ problem }) => problem !== '');
  const [first] = broken;
  if (first !== undefined) {
    return fail(`${first.name}: ${first.problem}`, 'add it again from its files: sudo mvm image add --help');
  }
  return host.images.length > 0
    ? ok(
        host.images
          .map(({ name }) => name)
          .sort()
          .join(', '),
      )
    : warn('none registered: nothing can be started', 'sudo mvm image add --help');
}

async function checkDesired({ status }: DaemonFacts): Promise<Finding> {
  if (status === undefined) return skip('hostd does not answer');
  if (status instanceof Error)
    return fail(status.message, hintOf(status) ?? 'journalctl -u mvm-agentd says why');
  if (status.desired.error !== null) return fail(status.desired.error.message, 'mvm status');
  if (status.desired.revision === null) return warn('none yet: nothing is to run', 'mvm apply --help');
  const [first, ...more] = status.problems.filter(({ kind }) => kind === 'blocked');
  if (first !== undefined) {
    const count = more.length === 0 ? '' : `, and ${more.length} more`;
    return fail(
      `${first.tenant_id}${first.pool_id === null ? '' : `/${first.pool_id}`}: ${first.message}${count}`,
      'mvm status names all',
    );
  }
  if (status.held > 0) return warn(`as desired, except for ${status.held} held by an operator`, 'mvm status');
  return status.converged
    ? ok(`as desired, revision ${status.desired.revision}`)
    : warn('converging', 'mvm status');
}

function problemsOf(status: DaemonFacts['status']): Status['problems'] {
  return status === undefined || status instanceof Error ? [] : status.problems;
}

async function checkNetworks({ network }: DaemonFacts): Promise<Finding> {
  if (network === undefined) return skip('hostd does not answer');
  if (network instanceof Error) {
    return fail(network.message, hintOf(network) ?? 'journalctl -u mvm-hostd says why');
  }
  const bridges = network.kinds.find(({ object }) => object === 'bridge')?.checked ?? 0;
  return network.drift_count === 0
    ? ok(`${bridges} ${bridges === 1 ? 'tenant' : 'tenants'}, as recorded`)
    : warn(
        `${network.drift_count} differences from what is recorded`,
        'mvm net verify names them; hostd repairs them within 10 seconds, unless journalctl -u mvm-hostd says why not',
      );
}

function toError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}

function hintOf(error: Error): string | undefined {
  return isCodedError(error) ? error.hint : undefined;
}
