import { CodedError, type NetworkPolicy, type NetworkProbe } from '@mvm/protocol';
import {
  cidrContains,
  instanceIp,
  lastInstanceIpOffset,
  parseIpv4,
  parseIpv4Cidr,
  parseTapName,
  RESERVED_IP_OFFSET,
} from '@mvm/protocol/names';
import type { Logger } from 'pino';
import type { HostPorts } from '../execute/ports.js';
import { vmUid } from '../plan/port.js';
import type { TenantRecord } from '../state/records.js';
import { requireTenant } from '../state/store.js';
import type { KeyedMutex } from '../system/keyed-mutex.js';
import { probeTenant } from './probe-tenant.js';

/** Probes of tenants' networks, one at a time. */
export interface NetworkProbes {
  /**
   * Tries from a guest's place what must not work. Meanwhile nothing else is done with this tenant, or with the other
   * one that stands for the rest. Throws `tenant.not_found`, `tenant.network_down`, and what `probeTenant` throws.
   */
  probe(tenantId: string, logger: Logger): Promise<NetworkProbe[]>;
}

export interface NetworkProbesDeps {
  readonly ports: HostPorts;
  readonly mutex: KeyedMutex;
  readonly vmUidBase: number;
}

/**
 * Whether a policy lets a guest reach an address outside, or might: an exception counts whatever its protocol and ports,
 * because what may leave the host is not tried at all.
 */
export function reachable(policy: NetworkPolicy | undefined): (address: string) => boolean {
  if (policy?.egress === 'open') return () => true;
  const ranges = (policy?.allow ?? []).map(({ cidr }) => parseIpv4Cidr(cidr));
  return (address) => ranges.some((range) => cidrContains(range, parseIpv4(address)));
}

export function createNetworkProbes({ ports, mutex, vmUidBase }: NetworkProbesDeps): NetworkProbes {
  const { store, network } = ports;

  function requireUp(tenantId: string): TenantRecord {
    const tenant = requireTenant(store, tenantId);
    if (tenant.network_up !== false) return tenant;
    throw new CodedError({
      code: 'failed_precondition',
      reason: 'tenant.network_down',
      message: `the network of tenant ${tenantId} is down`,
      hint: 'Set it up (SetupNetwork, or apply the tenant again), then verify it.',
    });
  }

  /** The highest offset that no recorded instance has; the last one when all are taken. */
  function unusedOffset(tenant: TenantRecord): number {
    const taken = new Set(
      store
        .instancesOfTenant(tenant.tenant_id)
        .flatMap(({ net }) => (net == null ? [] : [parseTapName(net.tap_dev)?.ipOffset])),
    );
    const last = lastInstanceIpOffset(tenant.net);
    for (let offset = last; offset > RESERVED_IP_OFFSET; offset -= 1) if (!taken.has(offset)) return offset;
    return last;
  }

  /** Runs with the locks of both tenants held; taken in order, so that two probes cannot wait for each other. */
  function locked<T>(tenantIds: readonly string[], work: () => Promise<T>): Promise<T> {
    const [first, ...rest] = tenantIds;
    return first === undefined ? work() : mutex.run(`tenant ${first}`, () => locked(rest, work));
  }

  async function probeNow(tenantId: string, otherId: string | null, logger: Logger): Promise<NetworkProbe[]> {
    const tenant = requireUp(tenantId);
    const other = otherId === null ? undefined : store.tenant(otherId);
    const offset = unusedOffset(tenant);
    const began = performance.now();
    const results = await probeTenant({
      network,
      net: tenant.net,
      otherNet: other === undefined || other.network_up === false ? null : other.net,
      uidOf: ({ tenant_net_id }) => vmUid(vmUidBase, tenant_net_id, RESERVED_IP_OFFSET),
      unused: { offset, ip: instanceIp(tenant.net, offset) },
      mayReach: reachable(network.desired(tenant.net.tenant_net_id)?.policies?.tenant),
    });
    const bad = results.filter(({ outcome }) => outcome === 'not_as_wanted').map(({ name }) => name);
    logger.info({ tenant: tenantId, ms: performance.now() - began, bad }, 'network probed');
    return results;
  }

  return {
    probe: (tenantId, logger) =>
      mutex.run('network probes', () => {
        requireUp(tenantId);
        const other = store
          .tenants()
          .find(({ tenant_id, network_up }) => tenant_id !== tenantId && network_up !== false);
        const otherId = other?.tenant_id ?? null;
        const ids = otherId === null ? [tenantId] : [tenantId, otherId].sort();
        return locked(ids, () => probeNow(tenantId, otherId, logger));
      }),
  };
}
