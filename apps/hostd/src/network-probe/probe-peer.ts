import { setTimeout as sleep } from 'node:timers/promises';
import {
  arpMessage,
  BROADCAST_MAC,
  ETHERTYPE,
  ethernetFrame,
  parseFrame,
  pingPacket,
  type ReceivedFrame,
} from './frames.js';
import type { Tap } from './tap.js';

/** How often arrivals are looked for while something is waited for. */
const LOOK_MS = 2;

/** Something that behaves as a guest behind a guarded TAP: it answers ARP for its address, and can send what it likes. */
export interface ProbePeer {
  readonly mac: string;
  readonly ip: string;
  /** Sends a frame exactly as given. */
  sendFrame(frame: Buffer): void;
  /** Sends a packet to a MAC, from its own. */
  sendPacket(dstMac: string, packet: Buffer): void;
  /** Everything that arrived since `forget`, taken in now. */
  received(): readonly ReceivedFrame[];
  forget(): void;
  /** The MAC that answers for an address, asked again every 50 ms; null when none did in time. */
  resolve(address: string, timeoutMs: number): Promise<string | null>;
  /** Whether a ping through `viaMac` was answered in time. */
  pings(viaMac: string, address: string, timeoutMs: number): Promise<boolean>;
}

const ASK_AGAIN_MS = 50;

export function createProbePeer(tap: Tap, mac: string, ip: string): ProbePeer {
  let received: ReceivedFrame[] = [];
  let nextId = 1;

  function takeIn(): readonly ReceivedFrame[] {
    for (const bytes of tap.drain()) {
      const frame = parseFrame(bytes);
      received.push(frame);
      const { arp } = frame;
      if (arp?.operation === 1 && arp.targetIp === ip && arp.senderMac !== mac) {
        tap.send(ethernetFrame(arp.senderMac, mac, ETHERTYPE.arp, arpMessage(2, mac, ip, arp.senderIp)));
      }
    }
    return received;
  }

  async function waitFor<T>(
    find: (frame: ReceivedFrame) => T | undefined,
    timeoutMs: number,
  ): Promise<T | undefined> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      for (const frame of takeIn()) {
        const found = find(frame);
        if (found !== undefined) return found;
      }
      if (performance.now() > deadline) return undefined;
      await sleep(LOOK_MS);
    }
  }

  const peer: ProbePeer = {
    mac,
    ip,
    sendFrame: (frame) => tap.send(frame),
    sendPacket: (dstMac, packet) => tap.send(ethernetFrame(dstMac, mac, ETHERTYPE.ipv4, packet)),
    received: takeIn,
    forget() {
      takeIn();
      received = [];
    },
    async resolve(address, timeoutMs) {
      const deadline = performance.now() + timeoutMs;
      do {
        tap.send(ethernetFrame(BROADCAST_MAC, mac, ETHERTYPE.arp, arpMessage(1, mac, ip, address)));
        const found = await waitFor(
          ({ arp }) => (arp?.operation === 2 && arp.senderIp === address ? arp.senderMac : undefined),
          ASK_AGAIN_MS,
        );
        if (found !== undefined) return found;
      } while (performance.now() < deadline);
      return null;
    },
    async pings(viaMac, address, timeoutMs) {
      nextId += 1;
      const id = nextId;
      peer.sendPacket(viaMac, pingPacket(ip, address, id));
      const answered = await waitFor(
        ({ ip: packet }) =>
          packet?.icmpType === 0 && packet.icmpId === id && packet.src === address ? true : undefined,
        timeoutMs,
      );
      return answered === true;
    },
  };
  return peer;
}
