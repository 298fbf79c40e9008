import {
  cidrContains,
  type Ipv4Cidr,
  parseBridgeName,
  parseIpv4,
  parseIpv4Cidr,
  parseTapName,
} from '@mvm/protocol';
import type { NetElement } from '../sets.js';
import type { ObservedNetwork } from '../types.js';

/** The net id that a name of ours belongs to; null for any other name. */
export function netIdOf(name: string): number | null {
  return parseBridgeName(name) ?? parseTapName(name)?.netId ?? null;
}

function belongs(element: NetElement, netId: number, subnet: Ipv4Cidr | null): boolean {
  if (element.set === 'publish') {
    const address = parseIpv4(element.value?.split(' . ')[0] ?? '');
    return subnet !== null && cidrContains(subnet, address);
  }
  const id = netIdOf(element.key[0] ?? '');
  return id === null || id === netId;
}

/**
 * What is observed of one tenant and of the host as a whole, without the other tenants. `ipv4Subnet`: the tenant's, by
 * which its published ports are known; null when it has none.
 */
export function scopeToTenant(
  observed: ObservedNetwork,
  netId: number,
  ipv4Subnet: string | null,
): ObservedNetwork {
  const subnet = ipv4Subnet === null ? null : parseIpv4Cidr(ipv4Subnet);
  return {
    ...observed,
    links: observed.links.filter(({ name }) => netIdOf(name) === netId),
    elements: observed.elements.filter((element) => belongs(element, netId, subnet)),
  };
}
