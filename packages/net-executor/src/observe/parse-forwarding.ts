import type { ForwardingEntry } from '../types.js';
import { asArray, asRecord, asText } from './json.js';

/**
 * What bridges' forwarding tables have behind each port in what `bridge -j fdb show` says: port → its entries, each MAC
 * once. A port's own MACs (`permanent`) and what the interface itself filters are left out. Source: bridge(8).
 */
export function parseForwarding(stdout: string): ReadonlyMap<string, readonly ForwardingEntry[]> {
  const found = new Map<string, Map<string, ForwardingEntry>>();
  for (const value of stdout.trim() === '' ? [] : asArray(JSON.parse(stdout))) {
    const { mac, ifname, master, state } = asRecord(value);
    if (master === undefined || state === 'permanent') continue;
    const entries = found.get(asText(ifname)) ?? new Map<string, ForwardingEntry>();
    entries.set(asText(mac), { mac: asText(mac), kind: state === 'static' ? 'static' : 'learned' });
    found.set(asText(ifname), entries);
  }
  return new Map([...found].map(([port, entries]) => [port, [...entries.values()]]));
}
