import { parseBridgeName, parseTapName } from '@mvm/protocol';
import type { NetElement } from '../sets.js';
import type { ObservedNetwork } from '../types.js';

/** The net id that a name of ours belongs to; null for any other name. */
export function netIdOf(name: string): number | null {
  return parseBridgeName(name) ?? parseTapName(name)?.netId ?? null;
}

/** The net id that an element belongs to; null for those that belong to the host as a whole. */
export function elementNetId(element: NetElement): number | null {
  return netIdOf(element.key[0] ?? '');
}

/** What is observed of one tenant and of the host as a whole, without the other tenants. */
export function scopeToTenant(observed: ObservedNetwork, netId: number): ObservedNetwork {
  return {
    ...observed,
    links: observed.links.filter(({ name }) => netIdOf(name) === netId),
    elements: observed.elements.filter((element) => {
      const id = elementNetId(element);
      return id === null || id === netId;
    }),
  };
}
