import { addressWithPrefix, cidrText, interfaceName, macText, settingText, uidText } from './grammar.js';
import { BRIDGE_LINK_SETTINGS, BRIDGE_SETTINGS, type LinkSettings } from './link-settings.js';
import type { NetStep, PolicyRule } from './types.js';

/** Preferences of our policy-routing rules; before `main` (32766), after `local` (0). */
export const RULE_PREFERENCES = { local: 90, isolate: 91 } as const;
/** Marks our policy-routing rules as ours. Source: ip-rule(8), `protocol`; rt_protos leaves 100…185 free. */
export const RULE_PROTOCOL = 109;

function renderRule(verb: 'add' | 'delete', rule: PolicyRule): string {
  const range = cidrText(rule.cidr);
  const match = `from ${range} to ${range}`;
  const pref = RULE_PREFERENCES[rule.kind];
  return rule.kind === 'local'
    ? `rule ${verb} pref ${pref} iif lo ${match} lookup main protocol ${RULE_PROTOCOL}`
    : `rule ${verb} pref ${pref} ${match} blackhole protocol ${RULE_PROTOCOL}`;
}

function renderSettings(settings: LinkSettings, which: (name: string) => boolean): string {
  return Object.entries(settings)
    .filter(([name]) => which(name))
    .map(([name, value]) => ` ${settingText(name)} ${settingText(value)}`)
    .join('');
}

/** Settings of a link come before its type, those of its kind after it. */
function renderLinkSettings(settings: LinkSettings): string {
  const ofBridge = renderSettings(settings, (name) => Object.hasOwn(BRIDGE_SETTINGS, name));
  const ofLink = renderSettings(settings, (name) => !Object.hasOwn(BRIDGE_SETTINGS, name));
  return ofBridge === '' ? ofLink : `${ofLink} type bridge${ofBridge}`;
}

/**
 * The one line of an `ip -batch` script that makes a step; null for steps that `ip` does not make. Throws
 * `invalid_argument` for a field outside the grammar. Source: ip-link(8), ip-address(8), ip-tuntap(8), ip-rule(8).
 */
export function renderIpLine(step: NetStep): string | null {
  switch (step.kind) {
    case 'bridge.create':
      // A fixed MAC: without one a bridge takes the lowest of its ports', and guests would lose their gateway.
      return `link add name ${interfaceName(step.name)} address ${macText(step.mac)}${renderLinkSettings({ mtu: BRIDGE_LINK_SETTINGS.mtu, ...BRIDGE_SETTINGS })}`;
    case 'bridge.delete':
      return `link delete dev ${interfaceName(step.name)} type bridge`;
    case 'mac.set':
      return `link set dev ${interfaceName(step.link)} address ${macText(step.mac)}`;
    case 'link.set':
      return `link set dev ${interfaceName(step.name)}${renderLinkSettings(step.settings)}`;
    case 'port.set':
      return `link set dev ${interfaceName(step.name)} type bridge_slave${renderSettings(step.settings, () => true)}`;
    case 'address.add':
      return `address add ${addressWithPrefix(step.address)} dev ${interfaceName(step.link)}`;
    case 'address.delete':
      return `address delete ${addressWithPrefix(step.address)} dev ${interfaceName(step.link)}`;
    case 'tap.create':
      return `tuntap add dev ${interfaceName(step.name)} mode tap user ${uidText(step.ownerUid)}`;
    case 'tap.delete':
      return `link delete dev ${interfaceName(step.name)}`;
    case 'port.join':
      return `link set dev ${interfaceName(step.name)} master ${interfaceName(step.bridge)}`;
    case 'port.leave':
      return `link set dev ${interfaceName(step.name)} nomaster`;
    case 'link.up':
      return `link set dev ${interfaceName(step.name)} up`;
    case 'link.down':
      return `link set dev ${interfaceName(step.name)} down`;
    case 'rule.add':
      return renderRule('add', step.rule);
    case 'rule.delete':
      return renderRule('delete', step.rule);
    case 'tables.load':
    case 'tables.delete':
    case 'element.add':
    case 'element.delete':
    case 'profile.create':
    case 'profile.delete':
    case 'sysctl.write':
    case 'forwarding.add':
    case 'forwarding.delete':
    case 'flows.forget':
      return null;
  }
}

/** The script for `ip -batch -` of the steps that `ip` makes, one line each, in order; empty when there are none. */
export function renderIpBatch(steps: readonly NetStep[]): string {
  return steps
    .map(renderIpLine)
    .filter((line) => line !== null)
    .map((line) => `${line}\n`)
    .join('');
}
