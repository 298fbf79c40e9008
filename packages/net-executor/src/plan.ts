import { CodedError } from '@mvm/protocol';
import { checkDesiredNetwork } from './check-network.js';
import {
  type DesiredTap,
  type ExpandedNetwork,
  expandDesired,
  FORWARD_ALL_KEY,
  forwardingKey,
  switchedUplinks,
} from './expand-desired.js';
import {
  BRIDGE_LINK_SETTINGS,
  BRIDGE_SETTINGS,
  differing,
  type LinkSettings,
  PORT_SETTINGS,
  TAP_LINK_SETTINGS,
} from './link-settings.js';
import { profileSignature, toObservedProfile } from './profile.js';
import { elementId, type NetElement } from './sets.js';
import type { DesiredHostNetwork, NetStep, NetworkContext, ObservedLink, ObservedNetwork } from './types.js';

function nameTaken(link: ObservedLink): CodedError {
  return new CodedError({
    code: 'failed_precondition',
    reason: 'net.name_taken',
    message: `an interface named ${link.name} exists already and is not of the kind that mvm makes`,
    hint: `Rename or remove it (ip -d link show dev ${link.name}), then try again.`,
    details: { link: link.name },
  });
}

/** Links that must go: they are not desired, or cannot be changed into what is expanded. */
function linksToRemove(expanded: ExpandedNetwork, observed: ObservedNetwork): ObservedLink[] {
  const bridges = new Set(expanded.bridges.map(({ name }) => name));
  const owners = new Map(expanded.taps.map(({ name, ownerUid }) => [name, ownerUid]));
  for (const link of observed.links) {
    if (link.kind === 'other' && (bridges.has(link.name) || owners.has(link.name))) throw nameTaken(link);
  }
  const taps = observed.links.filter(
    (link) => link.kind === 'tap' && owners.get(link.name) !== link.ownerUid,
  );
  return [...taps, ...observed.links.filter((link) => link.kind === 'bridge' && !bridges.has(link.name))];
}

function planRemovals(links: readonly ObservedLink[]): NetStep[] {
  return links.map((link) =>
    link.kind === 'tap'
      ? { kind: 'tap.delete', name: link.name, ownerUid: link.ownerUid, bridge: link.master, up: link.up }
      : { kind: 'bridge.delete', name: link.name, mac: link.mac, addresses: link.addresses, up: link.up },
  );
}

/** Ends the connections of guests' addresses: those of TAPs that go, and once more before a TAP comes. */
function planForgetting(
  addresses: readonly string[],
  { keptFlows = [], endedFlows = [] }: NetworkContext,
): NetStep[] {
  return [...new Set([...endedFlows, ...addresses])]
    .filter((address) => !keptFlows.includes(address))
    .map((address) => ({ kind: 'flows.forget', address }));
}

/** The addresses of the guests behind these links, as far as the guard names them. */
function addressesBehind(links: readonly ObservedLink[], { elements }: ObservedNetwork): string[] {
  if (links.length === 0) return [];
  const names = new Set(links.map(({ name }) => name));
  return elements.flatMap(({ set, key: [tap = '', , address = ''] }) =>
    set === 'port_src' && names.has(tap) ? [address] : [],
  );
}

/** Ids of wanted profiles that the kernel has with other chains, rules or sets. */
export function damagedProfiles(
  { profiles }: Pick<ExpandedNetwork, 'profiles'>,
  observed: ObservedNetwork,
): string[] {
  const found = new Map(observed.profiles.map((profile) => [profile.id, profile]));
  return profiles
    .filter((profile) => {
      const there = found.get(profile.id);
      return there !== undefined && profileSignature(there) !== profileSignature(toObservedProfile(profile));
    })
    .map(({ id }) => id);
}

function planTables(
  expanded: ExpandedNetwork,
  observed: ObservedNetwork,
  context: NetworkContext,
): NetStep[] {
  if (context.base === 'absent') {
    if (observed.tables === 'absent') return [];
    const profiles = observed.profiles.flatMap(({ spec }) => spec ?? []);
    return [{ kind: 'tables.delete', elements: observed.elements, profiles }];
  }
  if (observed.tables !== 'intact' || damagedProfiles(expanded, observed).length > 0) {
    const was = observed.tables === 'absent' ? 'absent' : 'damaged';
    return [
      {
        kind: 'tables.load',
        was,
        elements: expanded.elements,
        profiles: expanded.profiles.map(({ spec }) => spec),
      },
    ];
  }
  // Thousands of elements: each is spelled but once.
  const missing = new Map(expanded.elements.map((element) => [elementId(element), element]));
  const gone = observed.elements.filter((element) => !missing.delete(elementId(element)));
  const fresh = [...missing.values()];
  const asStep = (kind: 'element.add' | 'element.delete') => (element: NetElement) =>
    ({ kind, element }) as const;
  // A profile is there before the first element leads to it, and until the last has gone.
  return [
    ...expanded.profiles
      .filter(({ id }) => !observed.profiles.some((profile) => profile.id === id))
      .map(({ id, spec }) => ({ kind: 'profile.create', id, spec }) as const),
    ...gone.map(asStep('element.delete')),
    ...fresh.map(asStep('element.add')),
    ...observed.profiles
      .filter(({ id }) => !expanded.profiles.some((profile) => profile.id === id))
      .map(({ id, chains, sets, spec }) => {
        return { kind: 'profile.delete', id, chains: Object.keys(chains), sets, spec } as const;
      }),
  ];
}

type KeptLinks = ReadonlyMap<string, ObservedLink>;

/** What has to be set on a link that is there, or has just been made and has `found`. */
function planSettings(
  kind: 'link.set' | 'port.set',
  name: string,
  expanded: LinkSettings,
  found: LinkSettings | undefined,
): NetStep[] {
  const settings = found === undefined ? expanded : differing(expanded, found);
  if (settings === null) return [];
  const was = found && Object.fromEntries(Object.keys(settings).map((key) => [key, found[key] ?? '']));
  // What this kernel does not have cannot be given back.
  const known = was !== undefined && Object.values(was).every((value) => value !== '');
  return [{ kind, name, settings, was: known ? was : null }];
}

function planBridges(expanded: ExpandedNetwork, kept: KeptLinks): NetStep[] {
  return expanded.bridges.flatMap((bridge): NetStep[] => {
    const link = kept.get(bridge.name);
    const { name, mac, address } = bridge;
    const steps: NetStep[] = [];
    if (link === undefined) steps.push({ kind: 'bridge.create', name, mac });
    else {
      if (link.mac !== mac) steps.push({ kind: 'mac.set', link: name, mac, was: link.mac });
      const settings = { ...BRIDGE_LINK_SETTINGS, ...BRIDGE_SETTINGS };
      steps.push(...planSettings('link.set', name, settings, link.settings));
    }
    for (const other of link?.addresses ?? []) {
      if (other !== address) steps.push({ kind: 'address.delete', link: name, address: other });
    }
    if (!link?.addresses.includes(address)) steps.push({ kind: 'address.add', link: name, address });
    return steps;
  });
}

/** The bridge that a TAP is a port of; a port of a deleted bridge belongs to none. */
function masterOf({ name }: DesiredTap, kept: KeptLinks): string | null {
  const master = kept.get(name)?.master ?? null;
  return master !== null && kept.has(master) ? master : null;
}

function planTaps(expanded: ExpandedNetwork, kept: KeptLinks): NetStep[] {
  return expanded.taps.flatMap((tap): NetStep[] => {
    const { name, bridge, ownerUid, mac } = tap;
    const link = kept.get(name);
    const master = masterOf(tap, kept);
    const steps: NetStep[] = [];
    if (link === undefined) steps.push({ kind: 'tap.create', name, ownerUid });
    if (link?.mac !== mac) steps.push({ kind: 'mac.set', link: name, mac, was: link?.mac ?? '' });
    steps.push(...planSettings('link.set', name, TAP_LINK_SETTINGS, link?.settings));
    if (master !== bridge) steps.push({ kind: 'port.join', name, bridge, was: master });
    const found = master === bridge ? link?.portSettings : undefined;
    steps.push(...planSettings('port.set', name, PORT_SETTINGS, found));
    if (!link?.up) steps.push({ kind: 'link.up', name });
    return steps;
  });
}

/**
 * One static entry per port, its guest's MAC, and no other. `joined`: of ports that are on their bridge already, which get
 * theirs before learning stops; or of those that join now.
 */
function planForwarding(expanded: ExpandedNetwork, kept: KeptLinks, joined: boolean): NetStep[] {
  return expanded.taps
    .filter((tap) => (masterOf(tap, kept) === tap.bridge) === joined)
    .flatMap(({ name, guestMac }): NetStep[] => {
      const found = joined ? (kept.get(name)?.forwarding ?? []) : [];
      const own = found.some(({ mac, kind }) => mac === guestMac && kind === 'static');
      return [
        ...found
          .filter(({ mac }) => mac !== guestMac)
          .map(({ mac }) => ({ kind: 'forwarding.delete', port: name, mac }) as const),
        ...(own ? [] : [{ kind: 'forwarding.add', port: name, mac: guestMac } as const]),
      ];
    });
}

function planSysctls(
  expanded: ExpandedNetwork,
  observed: ObservedNetwork,
  kept: ReadonlyMap<string, ObservedLink>,
): NetStep[] {
  // Of `net/ipv4/conf/<link>/<setting>`.
  const linkOf = (key: string) => key.slice(14, key.indexOf('/', 14));
  const made = new Set(
    [...expanded.bridges, ...expanded.taps].map(({ name }) => name).filter((name) => !kept.has(name)),
  );
  return expanded.sysctls.flatMap(({ key, value }): NetStep[] => {
    const was = made.size > 0 && made.has(linkOf(key)) ? null : (observed.sysctls[key] ?? null);
    return was === value ? [] : [{ kind: 'sysctl.write', key, value, was }];
  });
}

/** Gives back what we switched: an uplink that we no longer need forwards again as it did before us. */
function planForwardingBack(
  expanded: ExpandedNetwork,
  observed: ObservedNetwork,
  context: NetworkContext,
): NetStep[] {
  if (observed.sysctls[FORWARD_ALL_KEY] === '1') return [];
  const needed = (uplink: string) => expanded.sysctls.some(({ key }) => key === forwardingKey(uplink));
  return switchedUplinks(observed, context)
    .filter((uplink) => observed.sysctls[forwardingKey(uplink)] === '1' && !needed(uplink))
    .map(forwardingKey)
    .map((key) => ({ kind: 'sysctl.write', key, value: '0', was: '1' }) as const);
}

/**
 * The steps from what is observed to what is expanded, in the order in which they must be made; empty when nothing is to
 * do. What is observed of ours and not wanted goes: `observed` must therefore be of the same scope as `desired`. In order:
 * settings given back, links that go, filter elements, links that come (raised last, so no port is ever without its
 * guard), settings. Total and deterministic. Throws `invalid_argument` and `already_exists` (`checkDesiredNetwork`), and
 * `failed_precondition`, reason `net.name_taken`, when another program's interface has a wanted name.
 */
export function planNetwork(
  desired: DesiredHostNetwork,
  observed: ObservedNetwork,
  context: NetworkContext,
): NetStep[] {
  checkDesiredNetwork(desired, context.clusterCidr);
  const expanded = expandDesired(desired, observed, context);
  const removed = linksToRemove(expanded, observed);
  const gone = new Set(removed.map(({ name }) => name));
  const kept = new Map(
    observed.links
      .filter((link) => link.kind !== 'other' && !gone.has(link.name))
      .map((link) => [link.name, link]),
  );
  const ruleId = ({ kind, cidr }: { kind: string; cidr: string }) => `${kind} ${cidr}`;
  const desiredRules = new Set(expanded.rules.map(ruleId));
  const observedRules = new Set(observed.rules.map(ruleId));
  const bridgesUp = expanded.bridges.filter(({ name }) => !kept.get(name)?.up);
  return [
    ...planForwardingBack(expanded, observed, context),
    ...planRemovals(removed),
    ...planForgetting(
      [
        ...addressesBehind(removed, observed),
        ...expanded.taps.filter(({ name }) => !kept.has(name)).map(({ ipv4 }) => ipv4),
      ],
      context,
    ),
    ...observed.rules
      .filter((rule) => !desiredRules.has(ruleId(rule)))
      .map((rule) => ({ kind: 'rule.delete', rule }) as const),
    ...planTables(expanded, observed, context),
    ...expanded.rules
      .filter((rule) => !observedRules.has(ruleId(rule)))
      .map((rule) => ({ kind: 'rule.add', rule }) as const),
    ...planForwarding(expanded, kept, true),
    ...planBridges(expanded, kept),
    ...planTaps(expanded, kept),
    ...bridgesUp.map(({ name }) => ({ kind: 'link.up', name }) as const),
    ...planForwarding(expanded, kept, false),
    ...planSysctls(expanded, observed, kept),
  ];
}
