// Frames as a guest would send them: just enough of Ethernet, ARP, IPv4, ICMP, UDP and TCP. MACs and addresses are text.
// Sources: RFC 826 (ARP), RFC 791 (IPv4), RFC 792 (ICMP), RFC 768 (UDP), RFC 9293 (TCP).

export const BROADCAST_MAC = 'ff:ff:ff:ff:ff:ff';
export const ETHERTYPE = { ipv4: 0x0800, arp: 0x0806, vlan: 0x8100, ipv6: 0x86dd } as const;
const PROTOCOL = { icmp: 1, tcp: 6, udp: 17 } as const;
/** Shortest Ethernet frame without its checksum. */
const MIN_FRAME_BYTES = 60;
const TCP_SYN = 0x02;
const DEFAULT_TTL = 64;

function macBytes(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}

function macText(bytes: Buffer): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

function ipBytes(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

function words(...values: number[]): Buffer {
  const buffer = Buffer.alloc(values.length * 2);
  for (const [i, value] of values.entries()) buffer.writeUInt16BE(value & 0xffff, i * 2);
  return buffer;
}

// RFC 1071.
function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i] ?? 0) * 256 + (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** A frame, padded to the shortest that Ethernet has. */
export function ethernetFrame(dst: string, src: string, type: number, payload: Buffer): Buffer {
  const frame = Buffer.concat([macBytes(dst), macBytes(src), words(type), payload]);
  return frame.length >= MIN_FRAME_BYTES
    ? frame
    : Buffer.concat([frame, Buffer.alloc(MIN_FRAME_BYTES - frame.length)]);
}

/** An ARP message's payload. `operation` 1 asks who has `targetIp`, 2 says that `senderIp` is at `senderMac`. */
export function arpMessage(operation: 1 | 2, senderMac: string, senderIp: string, targetIp: string): Buffer {
  return Buffer.concat([
    words(1, ETHERTYPE.ipv4, 0x0604, operation),
    macBytes(senderMac),
    ipBytes(senderIp),
    Buffer.alloc(6),
    ipBytes(targetIp),
  ]);
}

function ipv4Packet(src: string, dst: string, protocol: number, payload: Buffer, ttl: number): Buffer {
  const header = Buffer.concat([
    words(0x4500, 20 + payload.length, 0, 0x4000, ttl * 256 + protocol, 0),
    ipBytes(src),
    ipBytes(dst),
  ]);
  header.writeUInt16BE(checksum(header), 10);
  return Buffer.concat([header, payload]);
}

function withChecksum(src: string, dst: string, protocol: number, segment: Buffer, at: number): Buffer {
  const pseudo = Buffer.concat([ipBytes(src), ipBytes(dst), words(protocol, segment.length)]);
  const padded = segment.length % 2 === 0 ? segment : Buffer.concat([segment, Buffer.alloc(1)]);
  segment.writeUInt16BE(checksum(Buffer.concat([pseudo, padded])) || 0xffff, at);
  return segment;
}

/** An echo request. */
export function pingPacket(src: string, dst: string, id: number, ttl = DEFAULT_TTL): Buffer {
  const body = Buffer.concat([words(0x0800, 0, id, 1), Buffer.alloc(32, 0x61)]);
  body.writeUInt16BE(checksum(body), 2);
  return ipv4Packet(src, dst, PROTOCOL.icmp, body, ttl);
}

/** A TCP SYN. */
export function synPacket(src: string, dst: string, sport: number, dport: number, ttl = DEFAULT_TTL): Buffer {
  const segment = words(sport, dport, 0, 1000, 0, 0, 0x5000 | TCP_SYN, 0xffff, 0, 0);
  return ipv4Packet(src, dst, PROTOCOL.tcp, withChecksum(src, dst, PROTOCOL.tcp, segment, 16), ttl);
}

/** A UDP datagram of a few bytes. */
export function udpPacket(src: string, dst: string, sport: number, dport: number, ttl = DEFAULT_TTL): Buffer {
  const segment = Buffer.concat([words(sport, dport, 12, 0), Buffer.from('mvm?')]);
  return ipv4Packet(src, dst, PROTOCOL.udp, withChecksum(src, dst, PROTOCOL.udp, segment, 6), ttl);
}

/** What a received frame says, as far as probes look. */
export interface ReceivedFrame {
  readonly srcMac: string;
  readonly arp: {
    readonly operation: number;
    readonly senderMac: string;
    readonly senderIp: string;
    readonly targetIp: string;
  } | null;
  readonly ip: {
    readonly src: string;
    readonly dst: string;
    readonly protocol: number;
    /** Of TCP and UDP; 0 for others. */
    readonly sport: number;
    readonly dport: number;
    /** -1 when it is no ICMP. */
    readonly icmpType: number;
    readonly icmpId: number;
  } | null;
}

/** Reads a frame that the host sent; what is too short or of another kind has neither `arp` nor `ip`. */
export function parseFrame(frame: Buffer): ReceivedFrame {
  const srcMac = macText(frame.subarray(6, 12));
  const none: ReceivedFrame = { srcMac, arp: null, ip: null };
  if (frame.length < 42) return none;
  const type = frame.readUInt16BE(12);
  const body = frame.subarray(14);
  if (type === ETHERTYPE.arp) {
    return {
      ...none,
      arp: {
        operation: body.readUInt16BE(6),
        senderMac: macText(body.subarray(8, 14)),
        senderIp: [...body.subarray(14, 18)].join('.'),
        targetIp: [...body.subarray(24, 28)].join('.'),
      },
    };
  }
  if (type !== ETHERTYPE.ipv4) return none;
  const protocol = body[9] ?? 0;
  const data = body.subarray(((body[0] ?? 0) & 15) * 4);
  const hasPorts = (protocol === PROTOCOL.tcp || protocol === PROTOCOL.udp) && data.length >= 4;
  const isIcmp = protocol === PROTOCOL.icmp && data.length >= 6;
  return {
    ...none,
    ip: {
      src: [...body.subarray(12, 16)].join('.'),
      dst: [...body.subarray(16, 20)].join('.'),
      protocol,
      sport: hasPorts ? data.readUInt16BE(0) : 0,
      dport: hasPorts ? data.readUInt16BE(2) : 0,
      icmpType: isIcmp ? (data[0] ?? -1) : -1,
      icmpId: isIcmp ? data.readUInt16BE(4) : 0,
    },
  };
}
