import { expect, it } from 'vitest';
import {
  arpMessage,
  BROADCAST_MAC,
  ETHERTYPE,
  ethernetFrame,
  parseFrame,
  pingPacket,
  synPacket,
  udpPacket,
} from './frames.js';

const MAC = '02:fc:00:03:00:02';
const frame = (packet: Buffer): Buffer => ethernetFrame(BROADCAST_MAC, MAC, ETHERTYPE.ipv4, packet);

/** RFC 1071: over the whole, checksum included, the sum is all ones. */
function sum(bytes: Buffer): number {
  let total = 0;
  for (let i = 0; i < bytes.length; i += 2) total += (bytes[i] ?? 0) * 256 + (bytes[i + 1] ?? 0);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return total;
}

it.each([
  ['ping', pingPacket('10.240.3.2', '10.240.3.1', 7), { protocol: 1, icmpType: 8, icmpId: 7 }],
  ['syn', synPacket('10.240.3.2', '10.240.3.1', 61_007, 22), { protocol: 6, sport: 61_007, dport: 22 }],
  ['udp', udpPacket('10.240.3.2', '10.240.3.1', 67, 68), { protocol: 17, sport: 67, dport: 68 }],
] as const)('a %s packet has right checksums and reads back', (_what, packet, fields) => {
  expect(sum(packet.subarray(0, 20))).toBe(0xffff);
  const { protocol } = fields;
  const data = packet.subarray(20);
  const pseudo = Buffer.concat([packet.subarray(12, 20), Buffer.from([0, protocol, 0, data.length])]);
  expect(sum(protocol === 1 ? data : Buffer.concat([pseudo, data]))).toBe(0xffff);
  expect(packet.readUInt16BE(2)).toBe(packet.length);
  expect(parseFrame(frame(packet))).toMatchObject({
    srcMac: MAC,
    arp: null,
    ip: { src: '10.240.3.2', dst: '10.240.3.1', ...fields },
  });
  expect(frame(packet).length).toBeGreaterThanOrEqual(60);
});

it('ARP reads back', () => {
  const message = ethernetFrame(
    BROADCAST_MAC,
    MAC,
    ETHERTYPE.arp,
    arpMessage(1, MAC, '10.240.3.2', '10.240.3.1'),
  );
  expect(parseFrame(message).arp).toEqual({
    operation: 1,
    senderMac: MAC,
    senderIp: '10.240.3.2',
    targetIp: '10.240.3.1',
  });
});

it('what is short or foreign is neither, and throws nothing', () => {
  for (let length = 0; length < 60; length += 1) parseFrame(Buffer.alloc(length, 0x45));
  expect(parseFrame(ethernetFrame(BROADCAST_MAC, MAC, ETHERTYPE.ipv6, Buffer.alloc(60)))).toMatchObject({
    arp: null,
    ip: null,
  });
  // A header length that points beyond the frame.
  const packet = pingPacket('10.240.3.2', '10.240.3.1', 7);
  packet[0] = 0x4f;
  expect(parseFrame(frame(packet.subarray(0, 40))).ip?.icmpType).toBe(-1);
});
