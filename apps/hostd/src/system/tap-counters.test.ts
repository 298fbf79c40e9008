import { expect, it } from 'vitest';
import { parseTapCounters } from './tap-counters.js';

const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:   12345      10    0    0    0     0          0         0    12345      10    0    0    0     0       0          0
 tn3i5: 90004 498 0 0 0 0 0 0 74120 512 0 7 0 0 0 0
tn4094i4093:1 2 0 0 0 0 0 0 3 4 0 0 0 0 0 0
broken: 1 2 3
`;

it('reads the counters of each TAP from the side of its guest', () => {
  const counters = parseTapCounters(text);
  expect([...counters.keys()]).toEqual(['lo', 'tn3i5', 'tn4094i4093']);
  expect(counters.get('tn3i5')).toEqual({ rxBytes: 74120, rxPackets: 512, txBytes: 90004, txPackets: 498 });
  expect(counters.get('tn4094i4093')).toEqual({ rxBytes: 3, rxPackets: 4, txBytes: 1, txPackets: 2 });
});
