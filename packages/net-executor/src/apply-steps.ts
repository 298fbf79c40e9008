import { BRIDGE_LINK_SETTINGS, BRIDGE_SETTINGS, FRESH_PORT_SETTINGS } from './link-settings.js';
import { makeProfile, type ObservedProfile, type ProfileSpec, toObservedProfile } from './profile.js';
import { elementId, elementKey } from './sets.js';
import type { NetStep, ObservedLink, ObservedNetwork } from './types.js';

function observedProfileOf(spec: ProfileSpec): ObservedProfile {
  return toObservedProfile(makeProfile(spec));
}

type LinkChange = (link: ObservedLink) => ObservedLink;

function changeLink(observed: ObservedNetwork, name: string, change: LinkChange): ObservedNetwork {
  return { ...observed, links: observed.links.map((link) => (link.name === name ? change(link) : link)) };
}

function toNoPort(link: ObservedLink): ObservedLink {
  return { ...link, master: null, portSettings: {}, forwarding: [] };
}

function without({ forwarding }: ObservedLink, mac: string): ObservedLink['forwarding'] {
  return forwarding.filter((entry) => entry.mac !== mac);
}

function removeLink(observed: ObservedNetwork, name: string): ObservedNetwork {
  const links = observed.links.filter((link) => link.name !== name);
  const ofLink = (key: string) => key.split('/')[3] === name;
  const sysctls = Object.fromEntries(Object.entries(observed.sysctls).filter(([key]) => !ofLink(key)));
  return {
    ...observed,
    sysctls,
    // The ports of a removed bridge belong to none.
    links: links.map((link) => (link.master === name ? toNoPort(link) : link)),
  };
}

function addLink(observed: ObservedNetwork, link: ObservedLink): ObservedNetwork {
  return { ...observed, links: [...observed.links, link] };
}

/**
 * What the kernel has after one step, by the model that the planner relies on. A bridge comes with settings unlike those
 * wanted. The model is compared with a real kernel in the privileged tests.
 */
export function applyStep(observed: ObservedNetwork, step: NetStep): ObservedNetwork {
  switch (step.kind) {
    case 'tables.load':
      return {
        ...observed,
        tables: 'intact',
        tableFaults: [],
        elements: step.elements,
        profiles: step.profiles.map(observedProfileOf),
      };
    case 'tables.delete':
      return { ...observed, tables: 'absent', tableFaults: [], elements: [], profiles: [] };
    case 'profile.create':
      return {
        ...observed,
        profiles: [...observed.profiles.filter(({ id }) => id !== step.id), observedProfileOf(step.spec)],
      };
    case 'profile.delete':
      return { ...observed, profiles: observed.profiles.filter(({ id }) => id !== step.id) };
    case 'element.add': {
      const id = elementId(step.element);
      const known = observed.elements.some((element) => elementId(element) === id);
      return known ? observed : { ...observed, elements: [...observed.elements, step.element] };
    }
    case 'element.delete': {
      const key = elementKey(step.element);
      return { ...observed, elements: observed.elements.filter((element) => elementKey(element) !== key) };
    }
    case 'bridge.create':
      return addLink(observed, {
        name: step.name,
        kind: 'bridge',
        mac: step.mac,
        up: false,
        master: null,
        addresses: [],
        ownerUid: null,
        settings: { ...BRIDGE_LINK_SETTINGS, ...BRIDGE_SETTINGS },
        portSettings: {},
        forwarding: [],
      });
    case 'tap.create':
      return addLink(observed, {
        name: step.name,
        kind: 'tap',
        mac: '',
        up: false,
        master: null,
        addresses: [],
        ownerUid: step.ownerUid,
        settings: { mtu: '1500', arp: 'on' },
        portSettings: {},
        forwarding: [],
      });
    case 'bridge.delete':
    case 'tap.delete':
      return removeLink(observed, step.name);
    case 'mac.set':
      return changeLink(observed, step.link, (link) => ({ ...link, mac: step.mac }));
    case 'address.add':
      return changeLink(observed, step.link, (link) => ({
        ...link,
        addresses: [...link.addresses, step.address],
      }));
    case 'address.delete':
      return changeLink(observed, step.link, (link) => ({
        ...link,
        addresses: link.addresses.filter((address) => address !== step.address),
      }));
    case 'port.join':
      return changeLink(observed, step.name, (link) => ({
        ...link,
        master: step.bridge,
        portSettings: FRESH_PORT_SETTINGS,
        forwarding: [],
      }));
    case 'port.leave':
      return changeLink(observed, step.name, toNoPort);
    case 'link.set':
      return changeLink(observed, step.name, (link) => ({
        ...link,
        settings: { ...link.settings, ...step.settings },
      }));
    case 'port.set':
      return changeLink(observed, step.name, (link) => ({
        ...link,
        portSettings: { ...link.portSettings, ...step.settings },
      }));
    case 'forwarding.add':
      return changeLink(observed, step.port, (link) => ({
        ...link,
        forwarding: [...without(link, step.mac), { mac: step.mac, kind: 'static' }],
      }));
    case 'forwarding.delete':
      return changeLink(observed, step.port, (link) => ({ ...link, forwarding: without(link, step.mac) }));
    case 'flows.forget':
      return observed;
    case 'link.up':
      return changeLink(observed, step.name, (link) => ({ ...link, up: true }));
    case 'link.down':
      return changeLink(observed, step.name, (link) => ({ ...link, up: false }));
    case 'rule.add':
      return { ...observed, rules: [...observed.rules, step.rule] };
    case 'rule.delete':
      return {
        ...observed,
        rules: observed.rules.filter(({ kind, cidr }) => kind !== step.rule.kind || cidr !== step.rule.cidr),
      };
    case 'sysctl.write':
      return { ...observed, sysctls: { ...observed.sysctls, [step.key]: step.value } };
  }
}

/** What the kernel has after all steps, in order. */
export function applySteps(observed: ObservedNetwork, steps: readonly NetStep[]): ObservedNetwork {
  return steps.reduce(applyStep, observed);
}
