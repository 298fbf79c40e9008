import type { TenantNet } from '@mvm/protocol';
import type { CommandRunner } from '../command/command-runner.js';
import { elementsOf, expandDesired, tenantProfiles } from '../expand-desired.js';
import { PORT_SETTINGS, TAP_LINK_SETTINGS, tapMac } from '../link-settings.js';
import { linkExists, observeLinks, readSettings } from '../observe/observe-network.js';
import { planNetwork } from '../plan.js';
import { type Profile, toObservedProfile } from '../profile.js';
import type {
  DesiredTenantNetwork,
  InstancePort,
  NetStep,
  NetworkContext,
  ObservedLink,
  ObservedNetwork,
} from '../types.js';

/** One request, as the short way needs it. */
export interface IncrementalChange {
  readonly kind: 'ensure' | 'remove' | 'attach' | 'detach';
  readonly net: TenantNet;
  /** The tenant as it was wanted until now, and as it is to be; null: not at all. */
  readonly before: DesiredTenantNetwork | null;
  readonly after: DesiredTenantNetwork | null;
  /** Whose attaching or detaching it is; null for the tenant's own requests. */
  readonly port: InstancePort | null;
  /** Ids of the profiles that other tenants' guests have. */
  readonly othersProfiles: ReadonlySet<string>;
}

/** A port that the request does not concern, as it stands when all is well. */
function calmLink(port: InstancePort, bridge: string): ObservedLink {
  const { tapName: name, ownerUid, mac } = port;
  return {
    name,
    kind: 'tap',
    mac: tapMac(name),
    up: true,
    master: bridge,
    addresses: [],
    ownerUid,
    settings: TAP_LINK_SETTINGS,
    portSettings: PORT_SETTINGS,
    forwarding: [{ mac, kind: 'static' }],
  };
}

/** What the bridge forwards to a port is not looked at: as it stands when all is well. */
function withCalmForwarding(link: ObservedLink, before: DesiredTenantNetwork | null): ObservedLink {
  const port = before?.ports.find(({ tapName }) => tapName === link.name);
  return port === undefined ? link : { ...link, forwarding: [{ mac: port.mac, kind: 'static' }] };
}

/** What the kernel has of profiles when all is well, in the scope of this tenant. */
function assumeProfiles({ before, after, othersProfiles }: IncrementalChange): Profile[] {
  const own = before === null ? [] : tenantProfiles(before);
  const next = after === null ? [] : tenantProfiles(after);
  const desired = new Set(next.map(({ id }) => id));
  const there = [...own, ...next.filter(({ id }) => othersProfiles.has(id))];
  return [...new Map(there.map((profile) => [profile.id, profile])).values()].filter(
    ({ id }) => desired.has(id) || !othersProfiles.has(id),
  );
}

/** The host as a whole as it stands when all is well, with these links looked at and the tenant's other ports assumed. */
function assume(
  change: IncrementalChange,
  seen: ObservedNetwork,
  context: NetworkContext,
  links: readonly ObservedLink[],
): ObservedNetwork {
  const { before, net } = change;
  const host = expandDesired({ tenants: [] }, seen, context);
  const looked = new Set(links.map(({ name }) => name));
  const calm = (before?.ports ?? []).filter(
    ({ tapName }) => tapName !== change.port?.tapName && !looked.has(tapName),
  );
  const settings = expandDesired(
    { tenants: before === null ? [] : [{ net, ports: calm }] },
    seen,
    context,
  ).sysctls;
  return {
    links: [
      ...links.map((link) => withCalmForwarding(link, before)),
      ...calm.map((port) => calmLink(port, net.bridge_name)),
    ],
    tables: 'intact',
    tableFaults: [],
    elements: [...host.elements, ...(before === null ? [] : elementsOf(before))],
    profiles: assumeProfiles(change).map(toObservedProfile),
    rules: host.rules,
    sysctls: {
      ...seen.sysctls,
      ...Object.fromEntries(settings.map(({ key, value }) => [key, value])),
      ...readSettings(links, []),
    },
  };
}

/** The links that a request must look at; null when the short way is not enough. */
function linksToLookAt({ kind, net, before, after, port }: IncrementalChange): string[] | null {
  const bridge = net.bridge_name;
  const bridgeExists = linkExists(bridge);
  const tapExists = port !== null && linkExists(port.tapName);
  switch (kind) {
    case 'ensure': {
      if (before === null) return bridgeExists ? null : [];
      // Another policy, and nothing else: that there is something to do is certain.
      const onlyPolicy = after !== null && before.net.ipv4_subnet === net.ipv4_subnet;
      const differs = JSON.stringify(before.policies) !== JSON.stringify(after?.policies);
      const taps = before.ports.map(({ tapName }) => tapName);
      return bridgeExists && onlyPolicy && differs ? [bridge, ...taps] : null;
    }
    case 'remove':
      return bridgeExists ? [bridge] : null;
    case 'attach':
      if (before === null) return bridgeExists || tapExists ? null : [];
      return bridgeExists && !tapExists ? [bridge] : null;
    case 'detach':
      return before !== null && bridgeExists && tapExists ? [bridge, port.tapName] : null;
  }
}

/**
 * The steps of a request by a look at the links that it concerns only; null when that is not enough and everything must be
 * looked at. Listing the tables takes longer the more tenants there are, so it is left out where a new link, or another
 * policy, proves that there is something to do: the transaction itself then shows whether the tables are there, and adding
 * or deleting an element succeeds whatever was there before. Throws as `planNetwork` and `observeNetwork`.
 */
export async function planIncremental(
  change: IncrementalChange,
  seen: ObservedNetwork,
  context: NetworkContext,
  runner: CommandRunner,
): Promise<NetStep[] | null> {
  const names = linksToLookAt(change);
  if (names === null) return null;
  const links = await observeLinks(names, runner);
  if (links.length < names.length) return null;
  // A tenant that was not desired may still be removed; what it had follows from its network.
  const before = change.kind === 'remove' ? (change.before ?? { net: change.net, ports: [] }) : change.before;
  const observed = assume({ ...change, before }, seen, context, links);
  return planNetwork({ tenants: change.after === null ? [] : [change.after] }, observed, context);
}
