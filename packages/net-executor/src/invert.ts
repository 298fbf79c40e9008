import { macAddress, parseTapName } from '@mvm/protocol/names';
import { PORT_SETTINGS, TAP_LINK_SETTINGS, tapMac } from './link-settings.js';
import { makeProfile, toObservedProfile } from './profile.js';
import type { NetStep } from './types.js';

/**
 * The steps that undo one step, given that it was made; empty for what stays (base tables that were damaged, settings of
 * a link that goes away with it, a profile whose source is not known).
 */
export function invertStep(step: NetStep): NetStep[] {
  switch (step.kind) {
    case 'tables.load':
      return step.was === 'absent'
        ? [{ kind: 'tables.delete', elements: step.elements, profiles: step.profiles }]
        : [];
    case 'tables.delete':
      return [{ kind: 'tables.load', was: 'absent', elements: step.elements, profiles: step.profiles }];
    case 'profile.create': {
      const { id, chains, sets, spec } = toObservedProfile(makeProfile(step.spec));
      return [{ kind: 'profile.delete', id, chains: Object.keys(chains), sets, spec }];
    }
    case 'profile.delete':
      return step.spec === null ? [] : [{ kind: 'profile.create', id: step.id, spec: step.spec }];
    case 'element.add':
      return [{ kind: 'element.delete', element: step.element }];
    case 'element.delete':
      return [{ kind: 'element.add', element: step.element }];
    case 'bridge.create':
      return [{ kind: 'bridge.delete', name: step.name, mac: step.mac, addresses: [], up: false }];
    case 'bridge.delete':
      return [
        { kind: 'bridge.create', name: step.name, mac: step.mac },
        ...step.addresses.map((address) => ({ kind: 'address.add', link: step.name, address }) as const),
        ...(step.up ? [{ kind: 'link.up', name: step.name } as const] : []),
      ];
    case 'mac.set':
      // The kernel had made one up.
      if (step.was === '') return [];
      return [{ kind: 'mac.set', link: step.link, mac: step.was, was: step.mac }];
    case 'link.set':
    case 'port.set':
      return step.was === null
        ? []
        : [{ kind: step.kind, name: step.name, settings: step.was, was: step.settings }];
    case 'forwarding.add':
      return [{ kind: 'forwarding.delete', port: step.port, mac: step.mac }];
    // What was learned is learned again; a connection that has ended stays so.
    case 'forwarding.delete':
    case 'flows.forget':
      return [];
    case 'address.add':
      return [{ kind: 'address.delete', link: step.link, address: step.address }];
    case 'address.delete':
      return [{ kind: 'address.add', link: step.link, address: step.address }];
    case 'tap.create':
      return [{ kind: 'tap.delete', name: step.name, ownerUid: step.ownerUid, bridge: null, up: false }];
    case 'tap.delete':
      return step.ownerUid === null ? [] : remakeTap(step.name, step.ownerUid, step.bridge, step.up);
    case 'port.join':
      return step.was === null
        ? [{ kind: 'port.leave', name: step.name, was: step.bridge }]
        : joinAgain(step.name, step.was, step.bridge);
    case 'port.leave':
      return joinAgain(step.name, step.was, null);
    case 'link.up':
      return [{ kind: 'link.down', name: step.name }];
    case 'link.down':
      return [{ kind: 'link.up', name: step.name }];
    case 'rule.add':
      return [{ kind: 'rule.delete', rule: step.rule }];
    case 'rule.delete':
      return [{ kind: 'rule.add', rule: step.rule }];
    case 'sysctl.write':
      return step.was === null
        ? []
        : [{ kind: 'sysctl.write', key: step.key, value: step.was, was: step.value }];
  }
}

/** The steps that undo all of `steps`, last first. */
export function invertSteps(steps: readonly NetStep[]): NetStep[] {
  return steps.toReversed().flatMap(invertStep);
}

/** A port gets its settings from us whenever it joins a bridge. */
function joinAgain(name: string, bridge: string, was: string | null): NetStep[] {
  const parsed = parseTapName(name);
  return [
    { kind: 'port.join', name, bridge, was },
    { kind: 'port.set', name, settings: PORT_SETTINGS, was: null },
    ...(parsed === null
      ? []
      : [
          {
            kind: 'forwarding.add',
            port: name,
            mac: macAddress(parsed.netId, parsed.ipOffset),
          } as const,
        ]),
  ];
}

function remakeTap(name: string, ownerUid: number, bridge: string | null, up: boolean): NetStep[] {
  return [
    { kind: 'tap.create', name, ownerUid },
    { kind: 'mac.set', link: name, mac: tapMac(name), was: '' },
    { kind: 'link.set', name, settings: TAP_LINK_SETTINGS, was: null },
    ...(bridge === null ? [] : joinAgain(name, bridge, null)),
    ...(up ? [{ kind: 'link.up', name } as const] : []),
  ];
}
