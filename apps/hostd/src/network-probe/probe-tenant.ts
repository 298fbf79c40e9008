import { networkInterfaces } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { readDefaultRouteLinks } from '@mvm/net-executor/observe';
import type { NetworkProbe, TenantNet } from '@mvm/protocol';
import { macAddress, parseBridgeName, RESERVED_IP_OFFSET, reservedIp, tapName } from '@mvm/protocol/names';
import type { HostNetwork } from '../execute/ports.js';
import type { PortArgs } from '../execute/step.js';
import { type BlockedProbe, FRAMES_PER_PROBE, type ProbeSite, planBlockedProbes } from './blocked-probes.js';
import { type Counts, evaluateProbe } from './evaluate-probe.js';
import { createProbePeer, type ProbePeer } from './probe-peer.js';
import { openTap, type Tap } from './tap.js';

/** How long a TAP that was just opened may take to become a port that forwards. */
const READY_MS = 5000;
const ANSWER_MS = 1000;
/** What is answered at all is answered while the frame is sent; this is for a host that is busy. */
const SETTLE_MS = 10;
const MAX_HOST_ADDRESSES = 3;

export interface ProbeTenantOptions {
  readonly network: Pick<HostNetwork, 'attachPort' | 'detachPort' | 'drops' | 'inspect'>;
  readonly net: TenantNet;
  /** Another tenant whose network is up; null when there is none. */
  readonly otherNet: TenantNet | null;
  /** The uid that the peer's TAP belongs to, as it would to a VMM's; the other tenant's likewise. */
  readonly uidOf: (net: TenantNet) => number;
  readonly unused: { readonly offset: number; readonly ip: string };
  readonly mayReach: ProbeSite['mayReach'];
}

function portOf(net: TenantNet, ownerUid: number): PortArgs {
  return {
    tapName: tapName(net.tenant_net_id, RESERVED_IP_OFFSET),
    mac: macAddress(net.tenant_net_id, RESERVED_IP_OFFSET),
    ipv4: reservedIp(net),
    ownerUid,
  };
}

/** Addresses by which the host is known to others: neither loopback's nor tenants' gateways. */
function hostAddresses(): string[] {
  return Object.entries(networkInterfaces())
    .filter(([name]) => parseBridgeName(name) === null)
    .flatMap(([, addresses]) => addresses ?? [])
    .filter(({ family, internal }) => family === 'IPv4' && !internal)
    .map(({ address }) => address)
    .sort()
    .slice(0, MAX_HOST_ADDRESSES);
}

function control(name: string, worked: boolean, detail: string): NetworkProbe {
  return { name, expects: 'control', outcome: worked ? 'as_wanted' : 'not_as_wanted', detail, counter: null };
}

function skipped(probe: BlockedProbe, why: string): NetworkProbe {
  return {
    name: probe.name,
    expects: 'blocked',
    outcome: 'skipped',
    detail: `${probe.sends}: ${why}`,
    counter: probe.counters[0] ?? null,
  };
}

/**
 * Stands in for a guest of a tenant, and for one of another tenant, and tries what guests must not be able to do. The
 * ports are attached and guarded like an instance's, at the reserved offset, and are gone when this settles, however it
 * does; what a killed hostd leaves of them is swept at its next start, as no record names it. Nothing is sent that
 * could reach another machine: frames for the outside are tried last, only while the rules stand as they should, and
 * with a TTL that ends at the next router. Throws the errors of `attachPort`, and `net.probe_failed`.
 */
export async function probeTenant(options: ProbeTenantOptions): Promise<NetworkProbe[]> {
  const { network, net, otherNet, uidOf } = options;
  const taps: Tap[] = [];
  const attached: { net: TenantNet; port: PortArgs }[] = [];
  async function peerOn(on: TenantNet): Promise<ProbePeer> {
    const port = portOf(on, uidOf(on));
    attached.push({ net: on, port });
    await network.attachPort(on, port);
    const tap = openTap(port.tapName);
    taps.push(tap);
    return createProbePeer(tap, port.mac, port.ipv4);
  }
  try {
    const guest = await peerOn(net);
    const other = otherNet === null ? null : await peerOn(otherNet);
    return await runProbes(options, guest, other);
  } finally {
    for (const tap of taps) tap.close();
    for (const { net: on, port } of attached.reverse()) await network.detachPort(on, port);
  }
}

async function runProbes(
  options: ProbeTenantOptions,
  guest: ProbePeer,
  other: ProbePeer | null,
): Promise<NetworkProbe[]> {
  const { net, otherNet, network, unused, mayReach } = options;
  const gatewayMac = await guest.resolve(net.gateway_ip, READY_MS);
  if (gatewayMac === null) {
    return [control('gateway-arp', false, `${net.gateway_ip} does not answer ARP; nothing else was tried`)];
  }
  const otherAlive = otherNet !== null && (await other?.resolve(otherNet.gateway_ip, READY_MS)) != null;
  const results: NetworkProbe[] = [
    control('gateway-arp', true, `${net.gateway_ip} is at ${gatewayMac}`),
    control(
      'gateway-ping',
      await guest.pings(gatewayMac, net.gateway_ip, ANSWER_MS),
      `ping to ${net.gateway_ip}`,
    ),
  ];
  if (otherNet !== null) {
    const detail = `${otherNet.gateway_ip} is reached from the other tenant’s bridge`;
    results.push(control('other-tenant-alive', otherAlive, detail));
  }
  const probes = planBlockedProbes({
    net,
    mac: guest.mac,
    ip: guest.ip,
    gatewayMac,
    unusedOffset: unused.offset,
    unusedIp: unused.ip,
    hostAddresses: hostAddresses(),
    other: otherNet === null || other === null ? null : { net: otherNet, ip: other.ip, mac: other.mac },
    mayReach,
  });
  const hasUplink = readDefaultRouteLinks().length > 0;
  let before = await countsOf(network);
  let intact = await isIntact(network);
  let whyNot: string | undefined;
  for (const probe of probes) {
    if (probe.leaves) {
      whyNot ??= await reasonNotToSend(network, results);
      if (whyNot !== '') {
        results.push(skipped(probe, whyNot));
        continue;
      }
    }
    guest.forget();
    other?.forget();
    for (let i = 0; i < FRAMES_PER_PROBE; i += 1) guest.sendFrame(probe.frame);
    await sleep(SETTLE_MS);
    const after = await countsOf(network);
    const sighting = {
      answered: hasAnswer(guest, probe),
      delivered: other !== null && hasArrived(other, guest),
      before,
      after,
      hasUplink,
    };
    const evaluated = evaluateProbe(probe, { ...sighting, intact: false });
    if (evaluated.outcome === 'not_as_wanted') {
      // What was damaged before may have been repaired since: only rules that stood all the time are not to blame.
      intact = intact && (await isIntact(network));
      results.push(evaluateProbe(probe, { ...sighting, intact }));
    } else results.push(evaluated);
    before = after;
  }
  const still = await guest.pings(gatewayMac, net.gateway_ip, ANSWER_MS);
  results.push(control('gateway-ping-again', still, `ping to ${net.gateway_ip} after all that`));
  return results;
}

async function countsOf(network: ProbeTenantOptions['network']): Promise<Counts> {
  return new Map((await network.drops()).map(({ name, packets }) => [name, packets]));
}

/** Why no frame for the outside is to be sent; empty when everything before was blocked and the rules are as they should be. */
async function reasonNotToSend(
  network: ProbeTenantOptions['network'],
  results: readonly NetworkProbe[],
): Promise<string> {
  if (results.some(({ outcome }) => outcome === 'not_as_wanted')) {
    return 'not sent, because a probe before it was not as wanted';
  }
  return (await isIntact(network)) ? '' : 'not sent, because the network is not as recorded';
}

async function isIntact(network: ProbeTenantOptions['network']): Promise<boolean> {
  return (await network.inspect()).drifts.length === 0;
}

function hasAnswer(guest: ProbePeer, { answeredBy }: BlockedProbe): boolean {
  if (answeredBy === null) return guest.received().some(({ ip }) => ip?.icmpType === 0);
  return guest
    .received()
    .some(({ ip, arp }) => ip?.src === answeredBy || (arp?.operation === 2 && arp.senderIp === answeredBy));
}

function hasArrived(other: ProbePeer, guest: ProbePeer): boolean {
  return other
    .received()
    .some(
      ({ srcMac, ip, arp }) => srcMac === guest.mac || ip?.src === guest.ip || arp?.senderIp === guest.ip,
    );
}
