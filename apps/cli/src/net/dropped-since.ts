import type { DropCounterView, NetworkDrops } from '@mvm/protocol';

/** What a counter has gained. */
export interface Dropped {
  readonly counter: DropCounterView;
  readonly packets: number;
  readonly bytes: number;
}

/** Counters that moved from one reading to the next; one that restarted at 0 has gained what it shows. */
export function droppedSince(before: NetworkDrops, now: NetworkDrops): Dropped[] {
  const old = new Map(before.counters.map((counter) => [`${counter.table} ${counter.name}`, counter]));
  return now.counters.flatMap((counter) => {
    const last = old.get(`${counter.table} ${counter.name}`);
    const from = last === undefined || counter.packets < last.packets ? { packets: 0, bytes: 0 } : last;
    const packets = counter.packets - from.packets;
    return packets > 0 ? [{ counter, packets, bytes: counter.bytes - from.bytes }] : [];
  });
}
