import { readFile } from 'node:fs/promises';

/** What a TAP carried since it was made, as its guest sees it: received is what the host sent to it. */
export interface TapCounters {
  readonly rxBytes: number;
  readonly rxPackets: number;
  readonly txBytes: number;
  readonly txPackets: number;
}

/**
 * The counters of all interfaces of this network namespace, by name, out of one file. A frame counts once the VMM has read
 * it: what waits for a paused guest does not yet. Source: proc(5), linux/drivers/net/tun.c.
 */
export async function readTapCounters(): Promise<ReadonlyMap<string, TapCounters>> {
  return parseTapCounters(await readFile('/proc/self/net/dev', 'utf8'));
}

/** Pure. Lines that are none of an interface are passed over. */
export function parseTapCounters(text: string): ReadonlyMap<string, TapCounters> {
  const counters = new Map<string, TapCounters>();
  for (const line of text.split('\n')) {
    const [, name, rest] = /^\s*([^\s:]+):\s*(.*)$/.exec(line) ?? [];
    if (name === undefined || rest === undefined) continue;
    const fields = rest.split(/\s+/).map(Number);
    const [txBytes, txPackets, rxBytes, rxPackets] = [fields[0], fields[1], fields[8], fields[9]];
    if (txBytes === undefined || txPackets === undefined) continue;
    if (rxBytes === undefined || rxPackets === undefined) continue;
    counters.set(name, { rxBytes, rxPackets, txBytes, txPackets });
  }
  return counters;
}
