import { expect, test } from 'vitest';
import { parseListening } from './host-facts.js';

const HEADING =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode';

test('finding 14: sockets that wait for others are known, and no others', () => {
  const tcp = [
    HEADING,
    '   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0 100 0 0 10 0',
    '   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 2 1 0 100 0 0 10 0',
    '   2: 016433C6:01BB 057100CB:C350 01 00000000:00000000 00:00000000 00000000     0        0 3 1 0 100 0 0 10 0',
  ].join('\n');
  expect(parseListening('tcp', tcp)).toEqual(['tcp 22']);
  const tcp6 = [
    HEADING,
    '   0: 00000000000000000000000000000000:0050 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 4',
    '   1: 00000000000000000000000001000000:0051 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 5',
    '   2: 0000000000000000FFFF00000100007F:0052 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 6',
  ].join('\n');
  expect(parseListening('tcp', tcp6)).toEqual(['tcp 80']);
  const udp = [
    HEADING,
    '   0: 00000000:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 7 2 0 0',
    '   1: 016433C6:C000 357100CB:0035 01 00000000:00000000 00:00000000 00000000     0        0 8 2 0 0',
  ].join('\n');
  expect(parseListening('udp', udp)).toEqual(['udp 53']);
});
