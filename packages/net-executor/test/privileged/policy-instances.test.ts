import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { ethernet, TCP_ACK, TCP_SYN, tcp } from '../support/frames.js';
import { counter, enterTestHost, sh } from '../support/host.js';
import { buildPolicyHost, GATEWAY_A, type PolicyHost, TENANT_A } from '../support/policy-host.js';
import { connects, pings, type RawPeer, resolve, settle } from '../support/raw-peer.js';
import { HOST_MAC, PUBLIC_ADDRESS, UPLINK_ADDRESS } from '../support/topology.js';

let host: PolicyHost;

beforeAll(async () => {
  enterTestHost();
  host = await buildPolicyHost();
});

beforeEach(async () => {
  await host.give({});
});

afterAll(async () => {
  await host.close();
});

describe('isolate_instances', () => {
  /** What one guest reaches of another over their bridge. */
  function between(from: RawPeer, to: RawPeer): object {
    const { peers } = host;
    return {
      arp: resolve(from, to.ip, peers) !== null,
      ping: pings(from, to.mac, to.ip, peers),
      tcp: connects(from, to.mac, to.ip, 80, peers) === 'open',
    };
  }
  const ALL = { arp: true, ping: true, tcp: true };
  const NOTHING = { arp: false, ping: false, tcp: false };

  it('keeps instances of a tenant from each other, and not from their gateway and the internet', async () => {
    const { web1, web2, peers } = host;
    expect(between(web1, web2)).toEqual(ALL);
    await host.give({ tenant: { isolate_instances: true } });
    const before = counter('bridge', 'c_isolated');
    expect(between(web1, web2)).toEqual(NOTHING);
    expect(counter('bridge', 'c_isolated')).toBeGreaterThanOrEqual(before + 3);
    expect(resolve(web1, TENANT_A.gateway_ip, peers)).toBe(GATEWAY_A);
    expect(pings(web1, GATEWAY_A, TENANT_A.gateway_ip, peers)).toBe(true);
    expect(host.reaches(web1, PUBLIC_ADDRESS)).toBe(true);
    await host.give({});
    expect(between(web1, web2)).toEqual(ALL);
  });

  it('of a pool keeps its instances from all others, in both directions, and the others not from each other', async () => {
    const { web1, web2, db } = host;
    await host.give({ pools: { db: { isolate_instances: true } } });
    expect(between(db, web1)).toEqual(NOTHING);
    expect(between(web1, db)).toEqual(NOTHING);
    expect(between(web1, web2)).toEqual(ALL);
    await host.give({ tenant: { isolate_instances: true }, pools: { web: { isolate_instances: false } } });
    expect(between(web1, db)).toEqual(NOTHING);
    expect(between(web1, web2)).toEqual(ALL);
  });

  it('is not got round by broadcasts, or by frames for everybody', async () => {
    const { web1, web2, db, peers } = host;
    await host.give({ tenant: { isolate_instances: true } });
    const packet = tcp(web1.ip, web2.ip, 4000, 80, TCP_SYN);
    web1.sendFrame(ethernet('ff:ff:ff:ff:ff:ff', web1.mac, 0x0800, packet));
    web1.sendFrame(ethernet('02:fc:00:01:00:63', web1.mac, 0x0800, packet));
    settle(peers);
    for (const peer of [web2, db]) expect(peer.received.filter(({ src }) => src === web1.mac)).toEqual([]);
    // The control: without isolation the frame for everybody arrives, and one for nobody in particular still does not.
    await host.give({});
    web1.sendFrame(ethernet('02:fc:00:01:00:63', web1.mac, 0x0800, packet));
    settle(peers);
    expect(web2.received.filter(({ src }) => src === web1.mac)).toEqual([]);
    web1.sendFrame(ethernet('ff:ff:ff:ff:ff:ff', web1.mac, 0x0800, packet));
    settle(peers);
    expect(web2.received.some(({ src }) => src === web1.mac)).toBe(true);
  });

  it('is not got round by way of the gateway, even while the routing rules are gone', async () => {
    const { web1, web2, peers } = host;
    const byGateway = () => connects(web1, GATEWAY_A, web2.ip, 80, peers);
    expect(byGateway()).toBe('no answer');
    // The host sends guests a redirect no more, and so routes what they send it.
    sh('ip', 'rule', 'delete', 'pref', '91');
    expect(byGateway()).toBe('open');
    await host.give({ tenant: { isolate_instances: true } });
    if (sh('ip', 'rule', 'show', 'pref', '91') !== '') sh('ip', 'rule', 'delete', 'pref', '91');
    const before = counter('inet', 'c_apart');
    expect(byGateway()).toBe('no answer');
    expect(counter('inet', 'c_apart')).toBeGreaterThan(before);
    await host.executor.ensureTenant(TENANT_A);
    expect(await host.executor.verify()).toEqual([]);
  });
});

describe('publish', () => {
  const tcpPort = { protocol: 'tcp', host_port: 8443, guest_port: 80 } as const;
  const fromOutside = (port: number) =>
    connects(host.internet, HOST_MAC, UPLINK_ADDRESS, port, host.peers) === 'open';
  const reached = (peer: RawPeer) => peer.received.some(({ ip }) => ip?.dport === 80 && ip.protocol === 6);

  it('leads to the instance of the pool with the lowest address, and nowhere before', async () => {
    expect(fromOutside(8443)).toBe(false);
    await host.give({ pools: { web: { publish: [tcpPort] } } });
    expect(fromOutside(8443)).toBe(true);
    expect([reached(host.web1), reached(host.web2), reached(host.db)]).toEqual([true, false, false]);
    expect(fromOutside(8444)).toBe(false);
  });

  it('leads to the instance that it names', async () => {
    await host.give({ pools: { web: { publish: [{ ...tcpPort, instance_id: 'i-4' }] } } });
    expect(fromOutside(8443)).toBe(true);
    expect([reached(host.web1), reached(host.web2)]).toEqual([false, true]);
    await host.give({ pools: { web: { publish: [{ ...tcpPort, instance_id: 'i-99' }] } } });
    expect(fromOutside(8443)).toBe(false);
  });

  it('is answered by an instance that has no egress, and is isolated', async () => {
    const web = { egress: 'none', isolate_instances: true, publish: [tcpPort] } as const;
    await host.give({ pools: { web: { ...web, publish: [tcpPort] } } });
    expect(fromOutside(8443)).toBe(true);
    expect(host.reaches(host.web1, PUBLIC_ADDRESS)).toBe(false);
    await host.give({ pools: { web: { ...web, publish: [tcpPort], limits: { bandwidth_kbit: 10_000 } } } });
    expect(fromOutside(8443)).toBe(true);
  });

  it('is not reached by guests, its own or others', async () => {
    await host.give({ pools: { web: { publish: [tcpPort] } } });
    const { web2, b1, peers } = host;
    expect(host.reaches(web2, UPLINK_ADDRESS, 8443)).toBe(false);
    expect(connects(b1, '02:fc:00:02:00:01', UPLINK_ADDRESS, 8443, peers)).toBe('no answer');
  });

  it('its removal cuts the connection that stands by it, at once, in both directions', async () => {
    const { internet, web1, peers } = host;
    const publish = { pools: { web: { publish: [tcpPort] } } };
    await host.give(publish);
    const send = (flags: number): boolean => {
      web1.forget();
      internet.sendTo(HOST_MAC, tcp(internet.ip, UPLINK_ADDRESS, 41_000, 8443, flags, 5002));
      settle(peers);
      return reached(web1);
    };
    const answer = (): boolean => {
      internet.forget();
      web1.sendTo(GATEWAY_A, tcp(web1.ip, internet.ip, 80, 41_000, TCP_ACK, 1001));
      settle(peers);
      return internet.received.some(({ ip }) => ip?.sport === 8443 && ip.dport === 41_000);
    };
    expect(send(TCP_SYN)).toBe(true);
    expect([send(TCP_ACK), answer()]).toEqual([true, true]);
    await host.give({ pools: { web: { egress: 'none' } } });
    expect([send(TCP_ACK), answer()]).toEqual([false, false]);
    await host.give(publish);
    expect([send(TCP_ACK), answer()]).toEqual([true, true]);
  });
});
