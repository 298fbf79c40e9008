import {
  arp,
  BROADCAST,
  ethernet,
  type Parsed,
  parse,
  ping,
  TCP_ACK,
  TCP_RST,
  TCP_SYN,
  tcp,
} from './frames.js';
import type { TapDevice } from './tap-device.js';

/**
 * A machine behind a TAP, made of frames: it answers ARP for its addresses, pings, and TCP SYNs to its open ports (and
 * resets all others), and keeps what it received. All of it happens when `pump` is called.
 */
export interface RawPeer {
  readonly tap: TapDevice;
  readonly mac: string;
  readonly ip: string;
  /** Sends a frame exactly as given. */
  sendFrame(frame: Buffer): void;
  /** Sends an IPv4 packet to a MAC. */
  sendTo(dstMac: string, packet: Buffer): void;
  /** Takes in and answers what has arrived; returns how many frames that were. */
  pump(): number;
  /** Everything taken in and not forgotten. */
  readonly received: Parsed[];
  forget(): void;
}

interface PeerOptions {
  readonly tap: TapDevice;
  readonly mac: string;
  readonly ip: string;
  /** Further addresses that it answers for; `any` answers ARP for every address asked. */
  readonly addresses?: readonly string[] | 'any';
  readonly openPorts?: readonly number[];
}

export function createRawPeer(options: PeerOptions): RawPeer {
  const { tap, mac, ip, addresses = [], openPorts = [] } = options;
  const received: Parsed[] = [];
  const mine = (address: string) => address === ip || addresses === 'any' || addresses.includes(address);

  function answer(frame: Parsed): void {
    if (frame.arp?.operation === 1 && mine(frame.arp.targetIp) && frame.arp.senderMac !== mac) {
      const { senderMac, senderIp, targetIp } = frame.arp;
      const reply = {
        operation: 2,
        senderMac: mac,
        senderIp: targetIp,
        targetMac: senderMac,
        targetIp: senderIp,
      } as const;
      tap.send(arp({ ...reply, dst: senderMac }));
    }
    if (frame.ip === undefined || frame.dst !== mac || !mine(frame.ip.dst)) return;
    const { src, dst, sport, dport, protocol, tcpFlags, tcpSeq, icmpType, icmpId } = frame.ip;
    if (icmpType === 8) tap.send(ethernet(frame.src, mac, 0x0800, ping(dst, src, icmpId, 0)));
    if (protocol === 6 && tcpFlags === TCP_SYN) {
      const flags = openPorts.includes(dport) ? TCP_SYN | TCP_ACK : TCP_RST | TCP_ACK;
      tap.send(ethernet(frame.src, mac, 0x0800, tcp(dst, src, dport, sport, flags, tcpSeq + 1)));
    }
  }

  return {
    tap,
    mac,
    ip,
    received,
    sendFrame: (frame) => tap.send(frame),
    sendTo: (dstMac, packet) => tap.send(ethernet(dstMac, mac, 0x0800, packet)),
    pump() {
      const frames = tap.drain().map(parse);
      for (const frame of frames) {
        received.push(frame);
        answer(frame);
      }
      return frames.length;
    },
    forget() {
      received.length = 0;
    },
  };
}

/** Lets all peers take in and answer until nothing more arrives anywhere. */
export function settle(peers: readonly RawPeer[]): void {
  for (let round = 0; round < 1000; round += 1) {
    const count = peers.map((peer) => peer.pump()).reduce((a, b) => a + b, 0);
    if (count === 0) return;
  }
  throw new Error('the peers never stopped talking');
}

/** The MAC that answers for an address on this peer's segment; null when nobody does. */
export function resolve(peer: RawPeer, address: string, peers: readonly RawPeer[]): string | null {
  peer.forget();
  peer.sendFrame(
    arp({ operation: 1, senderMac: peer.mac, senderIp: peer.ip, targetIp: address, dst: BROADCAST }),
  );
  settle(peers);
  const reply = peer.received.find((frame) => frame.arp?.operation === 2 && frame.arp.senderIp === address);
  return reply?.arp?.senderMac ?? null;
}

let nextId = 1;

/** Whether a ping through `viaMac` is answered. */
export function pings(peer: RawPeer, viaMac: string, dst: string, peers: readonly RawPeer[]): boolean {
  nextId += 1;
  const id = nextId;
  peer.sendTo(viaMac, ping(peer.ip, dst, id));
  settle(peers);
  return peer.received.some(({ ip }) => ip?.icmpType === 0 && ip.icmpId === id && ip.src === dst);
}

/** What a TCP connection attempt through `viaMac` comes to. */
export function connects(
  peer: RawPeer,
  viaMac: string,
  dst: string,
  port: number,
  peers: readonly RawPeer[],
): 'open' | 'refused' | 'no answer' {
  nextId += 1;
  const sport = 20_000 + (nextId % 20_000);
  peer.sendTo(viaMac, tcp(peer.ip, dst, sport, port, TCP_SYN));
  settle(peers);
  const answer = peer.received.find(
    ({ ip }) => ip?.protocol === 6 && ip.src === dst && ip.sport === port && ip.dport === sport,
  );
  if (answer?.ip === undefined) return 'no answer';
  return answer.ip.tcpFlags & TCP_SYN ? 'open' : 'refused';
}
