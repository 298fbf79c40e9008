import {
  cidrContains,
  type Ipv4Cidr,
  parseBridgeName,
  parseIpv4,
  parseIpv4Cidr,
  parseTapName,
} from '@mvm/protocol/names';
import { profileIdOf } from '../profile.js';
import type { NetElement } from '../sets.js';
import type { ObservedNetwork } from '../types.js';

/** The net id that a name of ours belongs to; null for any other name. */
export function netIdOf(name: string): number | null {
  return parseBridgeName(name) ?? parseTapName(name)?.netId ?? null;
}

/** The guest's address by which an element is known to be a tenant's; null when it is known by a link's name. */
function guestAddress({ set, key, value }: NetElement): string | null {
  if (set === 'publish') return value?.split(' . ')[0] ?? null;
  if (set === 'published') return key[1] ?? null;
  return set === 'own_policy' ||
    set === 'guest_out' ||
    set === 'guest_in' ||
    set === 'isolated4' ||
    set === 'self'
    ? (key[0] ?? null)
    : null;
}

function belongs(element: NetElement, netId: number, subnet: Ipv4Cidr | null): boolean {
  const address = guestAddress(element);
  if (address !== null) return subnet !== null && cidrContains(subnet, parseIpv4(address));
  const id = netIdOf(element.key[0] ?? '');
  return id === null || id === netId;
}

/** The profile that an element leads to; null when it leads to none. */
function profileLedTo({ value }: NetElement): string | null {
  return value === undefined ? null : profileIdOf(value);
}

/**
 * What is observed of one tenant and of the host as a whole, without the other tenants. `ipv4Subnet`: the tenant's, by
 * which what belongs to its guests' addresses is known; null when it has none. A profile that others need and this tenant
 * does not (`profiles`: ids) is left out, so that it is not taken for unowned.
 */
export function scopeToTenant(
  observed: ObservedNetwork,
  netId: number,
  ipv4Subnet: string | null,
  profiles: { readonly desired: ReadonlySet<string>; readonly others: ReadonlySet<string> },
): ObservedNetwork {
  const subnet = ipv4Subnet === null ? null : parseIpv4Cidr(ipv4Subnet);
  const elements = observed.elements.filter((element) => belongs(element, netId, subnet));
  const own = new Set(elements);
  const shared = new Set(
    observed.elements
      .filter((element) => !own.has(element))
      .flatMap((element) => profileLedTo(element) ?? []),
  );
  return {
    ...observed,
    profiles: observed.profiles.filter(
      ({ id }) => profiles.desired.has(id) || !(shared.has(id) || profiles.others.has(id)),
    ),
    links: observed.links.filter(({ name }) => netIdOf(name) === netId),
    elements,
  };
}
