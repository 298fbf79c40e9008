import { BASE_TABLES } from './base-tables/base-tables.js';
import { expandDesired } from './expand-desired.js';
import { type HostNetwork, overlapping } from './observe/host-networks.js';
import { damagedProfiles, planNetwork } from './plan.js';
import { makeProfile } from './profile.js';
import type { NetElement } from './sets.js';
import type { DesiredHostNetwork, NetStep, NetworkContext, ObservedNetwork } from './types.js';

/** One difference between what is wanted and what the kernel has. */
export interface NetworkDrift {
  /** What kind of object differs. */
  readonly object: 'bridge' | 'tap' | 'address' | 'element' | 'profile' | 'table' | 'rule' | 'sysctl';
  /** Which one, e.g. `tn3i5`, `port_mac tn3i5 . 02:fc:00:03:00:05`, `net/ipv4/conf/br-tenant-3/rp_filter`. */
  readonly name: string;
  /** `missing`: wanted and not there; `unwanted`: there and not wanted; `different`: there, but not as expanded. */
  readonly state: 'missing' | 'unwanted' | 'different';
  /** For a person: what is there and what should be. */
  readonly detail: string;
}

function elementName(element: NetElement): string {
  return `${element.set} ${element.key.join(' . ')}`;
}

function linkObject(name: string): 'tap' | 'bridge' {
  return name.startsWith('tn') ? 'tap' : 'bridge';
}

function describe(step: NetStep, observed: ObservedNetwork): NetworkDrift[] {
  const drift = (
    object: NetworkDrift['object'],
    name: string,
    state: NetworkDrift['state'],
    detail: string,
  ): NetworkDrift[] => [{ object, name, state, detail }];
  switch (step.kind) {
    case 'tables.load':
      if (step.was === 'absent')
        return drift('table', 'mvm', 'missing', 'a table of ours is not loaded; nothing is filtered');
      return [
        ...observed.tableFaults.flatMap((fault) => drift('table', 'mvm', 'different', fault)),
        ...damagedProfiles({ profiles: step.profiles.map(makeProfile) }, observed).flatMap((id) =>
          drift('profile', `p_${id}`, 'different', 'a policy has other chains, rules or sets'),
        ),
      ];
    case 'tables.delete':
      return drift('table', 'mvm', 'unwanted', 'tables are loaded though no tenant is wanted');
    case 'profile.create':
      return drift('profile', `p_${step.id}`, 'missing', 'the chains of a policy are not there');
    case 'profile.delete':
      return drift('profile', `p_${step.id}`, 'unwanted', 'chains of a policy that no guest has');
    case 'element.add':
      return drift('element', elementName(step.element), 'missing', 'not in the set');
    case 'element.delete':
      return drift(
        'element',
        elementName(step.element),
        'unwanted',
        'in the set though nothing recorded needs it',
      );
    case 'bridge.create':
      return drift('bridge', step.name, 'missing', 'the bridge does not exist');
    case 'bridge.delete':
      return drift('bridge', step.name, 'unwanted', 'no recorded tenant has this bridge');
    case 'mac.set':
      if (step.was === '') return [];
      return drift(
        linkObject(step.link),
        step.link,
        'different',
        `MAC is ${step.was}, should be ${step.mac}`,
      );
    case 'link.set':
    case 'port.set': {
      const link = observed.links.find(({ name }) => name === step.name);
      const found = step.kind === 'link.set' ? link?.settings : link?.portSettings;
      // Of a link that is missing, or no port, nothing is missed beside.
      if (link?.kind !== linkObject(step.name) || (step.kind === 'port.set' && link.master === null))
        return [];
      return Object.entries(step.settings).flatMap(([setting, value]) =>
        drift(
          linkObject(step.name),
          step.name,
          'different',
          `${setting} is ${found?.[setting] ?? 'not set'}, should be ${value}`,
        ),
      );
    }
    case 'forwarding.add':
      if (!observed.links.some(({ name }) => name === step.port)) return [];
      return drift('tap', step.port, 'different', `the bridge has no static entry for its MAC ${step.mac}`);
    case 'forwarding.delete':
      return drift('tap', step.port, 'different', `the bridge has learned ${step.mac} behind it`);
    case 'flows.forget':
      return [];
    case 'address.add':
      return drift(
        'address',
        `${step.link} ${step.address}`,
        'missing',
        'the gateway address is not on the bridge',
      );
    case 'address.delete':
      return drift(
        'address',
        `${step.link} ${step.address}`,
        'unwanted',
        'an address that is not the gateway',
      );
    case 'tap.create':
      return drift('tap', step.name, 'missing', `no TAP owned by uid ${step.ownerUid}`);
    case 'tap.delete':
      return drift('tap', step.name, 'unwanted', `a TAP owned by uid ${step.ownerUid ?? 'nobody'}`);
    case 'port.join':
      return drift(
        'tap',
        step.name,
        'different',
        `is a port of ${step.was ?? 'nothing'}, should be of ${step.bridge}`,
      );
    case 'port.leave':
      return drift('tap', step.name, 'different', `should not be a port of ${step.was}`);
    case 'link.up':
      return drift(linkObject(step.name), step.name, 'different', 'is down');
    case 'link.down':
      return drift(linkObject(step.name), step.name, 'different', 'is up');
    case 'rule.add':
      return drift('rule', `${step.rule.kind} ${step.rule.cidr}`, 'missing', 'routing rule is missing');
    case 'rule.delete':
      return drift(
        'rule',
        `${step.rule.kind} ${step.rule.cidr}`,
        'unwanted',
        'routing rule for another range',
      );
    case 'sysctl.write':
      return drift('sysctl', step.key, 'different', `is ${step.was ?? 'not set'}, should be ${step.value}`);
  }
}

/**
 * Every difference between kernel and desired state, object by object; empty when there is none. It is the plan, put in words: what
 * verify names is what reconcile would change: one drift per step, except for damaged tables (one per fault or profile), settings
 * of links (one each) and what comes with a link that is missing (none). Errors as
 * `planNetwork`.
 */
export function verifyNetwork(
  desired: DesiredHostNetwork,
  observed: ObservedNetwork,
  context: NetworkContext,
): NetworkDrift[] {
  return planNetwork(desired, observed, context).flatMap((step) => describe(step, observed));
}

/** Tenants' subnets that the host has meanwhile a part of otherwise: hostd cannot repair that. Pure. */
export function overlapDrifts(
  { tenants }: DesiredHostNetwork,
  clusterCidr: string,
  networks: readonly HostNetwork[],
): NetworkDrift[] {
  return tenants.flatMap(({ net }) =>
    overlapping(net.ipv4_subnet, clusterCidr, networks).map(({ cidr, what }) => ({
      object: 'address' as const,
      name: `${net.bridge_name} ${net.ipv4_subnet}`,
      state: 'different' as const,
      detail: `the host has ${cidr} as well (${what}): packets for the tenant's guests, or for that, go astray`,
    })),
  );
}

/** How many objects of each kind are wanted, and so were compared with the kernel's. */
export type CheckedObjects = Readonly<Record<NetworkDrift['object'], number>>;

/** How many objects `verifyNetwork` compares, by kind; every kind is there. */
export function countChecked(
  desired: DesiredHostNetwork,
  observed: ObservedNetwork,
  context: NetworkContext,
): CheckedObjects {
  const expanded = expandDesired(desired, observed, context);
  return {
    bridge: expanded.bridges.length,
    address: expanded.bridges.length,
    tap: expanded.taps.length,
    table: context.base === 'absent' ? 0 : BASE_TABLES.length,
    element: expanded.elements.length,
    profile: expanded.profiles.length,
    rule: expanded.rules.length,
    sysctl: expanded.sysctls.length,
  };
}
