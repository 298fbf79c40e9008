/** Frame builders and a parser, just enough of Ethernet, ARP, IPv4, ICMP, UDP and TCP. MACs and addresses are text. */

export const BROADCAST = 'ff:ff:ff:ff:ff:ff';

function macBytes(mac: string): Buffer {
  return Buffer.from(mac.replaceAll(':', ''), 'hex');
}

function macOf(bytes: Buffer): string {
  return [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':');
}

export function ipBytes(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number));
}

function ipOf(bytes: Buffer): string {
  return [...bytes].join('.');
}

function u16(...values: number[]): Buffer {
  const buffer = Buffer.alloc(values.length * 2);
  for (const [i, value] of values.entries()) buffer.writeUInt16BE(value & 0xffff, i * 2);
  return buffer;
}

function checksum(bytes: Buffer): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i] ?? 0) * 256 + (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

export function ethernet(dst: string, src: string, type: number, payload: Buffer): Buffer {
  const frame = Buffer.concat([macBytes(dst), macBytes(src), u16(type), payload]);
  return frame.length >= 60 ? frame : Buffer.concat([frame, Buffer.alloc(60 - frame.length)]);
}

export interface ArpFields {
  readonly operation: 1 | 2;
  readonly senderMac: string;
  readonly senderIp: string;
  readonly targetMac?: string;
  readonly targetIp: string;
  /** Ethernet addresses, when they are to differ from what the ARP says. */
  readonly src?: string;
  readonly dst?: string;
}

export function arp(fields: ArpFields): Buffer {
  const body = Buffer.concat([
    u16(1, 0x0800, 0x0604, fields.operation),
    macBytes(fields.senderMac),
    ipBytes(fields.senderIp),
    macBytes(fields.targetMac ?? '00:00:00:00:00:00'),
    ipBytes(fields.targetIp),
  ]);
  return ethernet(fields.dst ?? BROADCAST, fields.src ?? fields.senderMac, 0x0806, body);
}

function ipv4(src: string, dst: string, protocol: number, payload: Buffer): Buffer {
  const header = Buffer.concat([
    u16(0x4500, 20 + payload.length, 0x1234, 0x4000, 0x4000 + protocol, 0),
    ipBytes(src),
    ipBytes(dst),
  ]);
  header.writeUInt16BE(checksum(header), 10);
  return Buffer.concat([header, payload]);
}

function withTransportChecksum(
  src: string,
  dst: string,
  protocol: number,
  segment: Buffer,
  at: number,
): Buffer {
  const pseudo = Buffer.concat([ipBytes(src), ipBytes(dst), u16(protocol, segment.length)]);
  segment.writeUInt16BE(checksum(Buffer.concat([pseudo, segment])) || 0xffff, at);
  return segment;
}

export function udp(src: string, dst: string, sport: number, dport: number, text = 'x'): Buffer {
  const segment = Buffer.concat([u16(sport, dport, 8 + text.length, 0), Buffer.from(text)]);
  return ipv4(src, dst, 17, withTransportChecksum(src, dst, 17, segment, 6));
}

export const TCP_SYN = 0x02;
export const TCP_RST = 0x04;
export const TCP_ACK = 0x10;

export function tcp(src: string, dst: string, sport: number, dport: number, flags: number, ack = 0): Buffer {
  const segment = Buffer.alloc(20);
  segment.writeUInt16BE(sport, 0);
  segment.writeUInt16BE(dport, 2);
  segment.writeUInt32BE(flags & TCP_SYN && !(flags & TCP_ACK) ? 1000 : 5001, 4);
  segment.writeUInt32BE(ack, 8);
  segment.writeUInt16BE(0x5000 | flags, 12);
  segment.writeUInt16BE(65_535, 14);
  return ipv4(src, dst, 6, withTransportChecksum(src, dst, 6, segment, 16));
}

export function ping(src: string, dst: string, id: number, type: 8 | 0 = 8): Buffer {
  const body = Buffer.concat([u16(type << 8, 0, id, 1), Buffer.alloc(32, 0x61)]);
  body.writeUInt16BE(checksum(body), 2);
  return ipv4(src, dst, 1, body);
}

/** What a frame says, as far as the tests look. */
export interface Parsed {
  readonly src: string;
  readonly dst: string;
  readonly type: number;
  readonly arp?: { operation: number; senderMac: string; senderIp: string; targetIp: string };
  readonly ip?: {
    src: string;
    dst: string;
    protocol: number;
    sport: number;
    dport: number;
    tcpFlags: number;
    tcpSeq: number;
    icmpType: number;
    icmpId: number;
    text: string;
  };
}

export function parse(frame: Buffer): Parsed {
  const head = {
    dst: macOf(frame.subarray(0, 6)),
    src: macOf(frame.subarray(6, 12)),
    type: frame.readUInt16BE(12),
  };
  const body = frame.subarray(14);
  if (head.type === 0x0806) {
    const senderMac = macOf(body.subarray(8, 14));
    const senderIp = ipOf(body.subarray(14, 18));
    return {
      ...head,
      arp: { operation: body.readUInt16BE(6), senderMac, senderIp, targetIp: ipOf(body.subarray(24, 28)) },
    };
  }
  if (head.type !== 0x0800) return head;
  const protocol = body[9] ?? 0;
  const data = body.subarray(((body[0] ?? 0) & 15) * 4, body.readUInt16BE(2));
  return {
    ...head,
    ip: {
      src: ipOf(body.subarray(12, 16)),
      dst: ipOf(body.subarray(16, 20)),
      protocol,
      sport: protocol === 1 ? 0 : data.readUInt16BE(0),
      dport: protocol === 1 ? 0 : data.readUInt16BE(2),
      tcpFlags: protocol === 6 ? (data[13] ?? 0) : 0,
      tcpSeq: protocol === 6 ? data.readUInt32BE(4) : 0,
      icmpType: protocol === 1 ? (data[0] ?? 0) : -1,
      icmpId: protocol === 1 ? data.readUInt16BE(4) : 0,
      text: protocol === 17 ? data.subarray(8).toString('latin1') : '',
    },
  };
}

/** An ICMP message that quotes a packet: its header and the first 8 bytes after it. `mtu`: of "fragmentation needed". */
export function icmpError(
  src: string,
  dst: string,
  type: number,
  code: number,
  about: Buffer,
  mtu = 0,
): Buffer {
  const body = Buffer.concat([u16((type << 8) | code, 0, 0, mtu), about.subarray(0, 28)]);
  body.writeUInt16BE(checksum(body), 2);
  return ipv4(src, dst, 1, body);
}
