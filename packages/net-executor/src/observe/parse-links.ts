import { parseBridgeName, parseTapName } from '@mvm/protocol/names';
import { BRIDGE_SETTINGS, type LinkSettings, PORT_SETTINGS } from '../link-settings.js';
import type { ObservedLink } from '../types.js';
import { asArray, asRecord, asText, type JsonRecord } from './json.js';

function kindOf(name: string, linkinfo: JsonRecord): ObservedLink['kind'] {
  const kind = linkinfo.info_kind;
  if (parseBridgeName(name) !== null) return kind === 'bridge' ? 'bridge' : 'other';
  return kind === 'tun' && asRecord(linkinfo.info_data).type === 'tap' ? 'tap' : 'other';
}

function settingsOf(found: JsonRecord, names: object): LinkSettings {
  const entries = Object.keys(names)
    .filter((name) => found[name] !== undefined)
    .map((name) => {
      const value = found[name];
      return [name, typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value)];
    });
  return Object.fromEntries(entries);
}

function parseLink(value: unknown): ObservedLink[] {
  const link = asRecord(value);
  const name = asText(link.ifname);
  if (parseBridgeName(name) === null && parseTapName(name) === null) return [];
  const linkinfo = asRecord(link.linkinfo);
  const owner = asRecord(linkinfo.info_data).user;
  const addresses = asArray(link.addr_info)
    .map(asRecord)
    .filter((info) => info.family === 'inet')
    .map((info) => `${asText(info.local)}/${String(info.prefixlen)}`);
  return [
    {
      name,
      kind: kindOf(name, linkinfo),
      mac: asText(link.address),
      up: asArray(link.flags).includes('UP'),
      master: typeof link.master === 'string' ? link.master : null,
      addresses,
      ownerUid: typeof owner === 'number' ? owner : null,
      settings: {
        mtu: String(link.mtu),
        arp: asArray(link.flags).includes('NOARP') ? 'off' : 'on',
        ...settingsOf(asRecord(linkinfo.info_data), BRIDGE_SETTINGS),
      },
      portSettings:
        linkinfo.info_slave_kind === 'bridge'
          ? settingsOf(asRecord(linkinfo.info_slave_data), PORT_SETTINGS)
          : {},
      // In another listing: `parseForwarding`.
      forwarding: [],
    },
  ];
}

/**
 * The links with names of ours in what `ip -j -d address show` says; others are left out. With `-batch`, every command
 * answers with an array of its own, one per line. Source: ip-address(8), ip-tuntap(8).
 */
export function parseLinks(stdout: string): ObservedLink[] {
  return stdout
    .split('\n')
    .filter((line) => line.trim() !== '')
    .flatMap((line) => asArray(JSON.parse(line)).flatMap(parseLink));
}
