import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { udp } from '../support/frames.js';
import { counter, enterTestHost } from '../support/host.js';
import { buildPolicyHost, flows, type PolicyHost, stream } from '../support/policy-host.js';
import { type RawPeer, settle } from '../support/raw-peer.js';
import { HOST_MAC, PUBLIC_ADDRESS, UPLINK_ADDRESS } from '../support/topology.js';

let host: PolicyHost;
let nextPort = 10_000;

beforeAll(async () => {
  enterTestHost();
  host = await buildPolicyHost();
});

afterAll(async () => {
  await host.close();
});

interface Outcome {
  readonly passed: number;
  /** What the limit lets pass in the time that it took, over its burst. */
  readonly allowance: (perSecond: number) => number;
}

function freshPorts(): number {
  nextPort += 1000;
  return nextPort;
}

/** Sends packets to the internet and counts those that arrive. */
function outward(from: RawPeer, packets: Iterable<Buffer>): Outcome {
  const { internet } = host;
  internet.forget();
  const began = performance.now();
  host.sendMany(from, packets);
  const seconds = (performance.now() - began) / 1000;
  return {
    passed: internet.received.filter(({ ip }) => ip?.dport === 9001).length,
    allowance: (perSecond) => perSecond * seconds + 1,
  };
}

/** Lets the internet answer a guest's flow with `count` packets of `bytes` bytes of IP, and counts those that arrive. */
function inward(to: RawPeer, count: number, bytes: number): Outcome {
  const { internet, peers } = host;
  const port = freshPorts();
  outward(to, stream(to.ip, 1, 100, port));
  // Under the host's address, and a port that the host chose.
  const seen = internet.received.find(({ ip }) => ip?.dport === 9001)?.ip;
  if (seen === undefined) throw new Error('the flow did not come out');
  to.forget();
  const packet = udp(PUBLIC_ADDRESS, UPLINK_ADDRESS, 9001, seen.sport, 'x'.repeat(bytes - 28));
  const began = performance.now();
  for (let i = 1; i <= count; i += 1) {
    internet.sendTo(HOST_MAC, packet);
    if (i % 100 === 0) settle(peers);
  }
  settle(peers);
  const seconds = (performance.now() - began) / 1000;
  return {
    passed: to.received.filter(({ ip }) => ip?.sport === 9001 && ip.dport === port).length,
    allowance: (perSecond) => perSecond * seconds + 1,
  };
}

describe('limits of connections', () => {
  it('let as many new ones pass as the burst, then as the rate; the next guest has its own', async () => {
    await host.give({
      pools: { web: { limits: { new_connections_per_second: 10, new_connections_burst: 25 } } },
    });
    const before = counter('inet', 'c_rate');
    for (const guest of [host.web1, host.web2]) {
      const { passed, allowance } = outward(guest, flows(guest.ip, 200, freshPorts()));
      expect(passed).toBeGreaterThanOrEqual(25);
      expect(passed).toBeLessThanOrEqual(25 + allowance(10));
    }
    expect(counter('inet', 'c_rate')).toBeGreaterThan(before + 200);
    // The control: a guest of another pool.
    expect(outward(host.db, flows(host.db.ip, 200, freshPorts())).passed).toBe(200);
  });

  it('let no more be tracked at a time than they say, and known ones pass', async () => {
    await host.give({ pools: { web: { limits: { connections: 7 } } } });
    const port = freshPorts();
    const before = counter('inet', 'c_conns');
    expect(outward(host.web1, flows(host.web1.ip, 100, port)).passed).toBe(7);
    expect(counter('inet', 'c_conns') - before).toBe(93);
    expect(outward(host.web1, stream(host.web1.ip, 300, 100, port)).passed).toBe(300);
    expect(outward(host.db, flows(host.db.ip, 100, freshPorts())).passed).toBe(100);
  });

  it('do not throttle a flow that is known, whatever its rate', async () => {
    await host.give({ tenant: { limits: { new_connections_per_second: 1, new_connections_burst: 1 } } });
    expect(outward(host.web1, stream(host.web1.ip, 2000, 100, freshPorts())).passed).toBe(2000);
  });
});

describe('packets_per_second', () => {
  it('lets as many packets of one flow out; 0 is no limit', async () => {
    await host.give({
      tenant: { limits: { packets_per_second: 50 } },
      pools: { db: { limits: { packets_per_second: 0 } } },
    });
    const before = counter('inet', 'c_packets');
    const { passed, allowance } = outward(host.web1, stream(host.web1.ip, 600, 100, freshPorts()));
    expect(passed).toBeGreaterThanOrEqual(50);
    expect(passed).toBeLessThanOrEqual(50 + allowance(50));
    expect(counter('inet', 'c_packets') - before).toBe(600 - passed);
    expect(outward(host.db, stream(host.db.ip, 600, 100, freshPorts())).passed).toBe(600);
  });

  it('lets as many in', async () => {
    await host.give({ pools: { web: { limits: { packets_per_second: 60 } } } });
    const { passed, allowance } = inward(host.web2, 600, 100);
    expect(passed).toBeGreaterThanOrEqual(60);
    expect(passed).toBeLessThanOrEqual(60 + allowance(60));
    expect(inward(host.db, 600, 100).passed).toBe(600);
  });
});

describe('bandwidth_kbit', () => {
  // 64 kbit/s: 8000 bytes per second, and 65 536 more at once.
  const BURST = 8000 + 65_536;
  const limited = { pools: { web: { limits: { bandwidth_kbit: 64 } } } };

  it('lets a second and 64 KiB of it out at once, and then its rate', async () => {
    await host.give(limited);
    const before = counter('inet', 'c_bandwidth');
    const { passed, allowance } = outward(host.web1, stream(host.web1.ip, 300, 1000, freshPorts()));
    expect(passed).toBeGreaterThanOrEqual(Math.floor(BURST / 1000));
    expect(passed).toBeLessThanOrEqual(BURST / 1000 + allowance(8));
    expect(counter('inet', 'c_bandwidth') - before).toBe(300 - passed);
    expect(outward(host.db, stream(host.db.ip, 300, 1000, freshPorts())).passed).toBe(300);
  });

  it('counts bytes, not packets', async () => {
    await host.give({ pools: { web: { limits: { bandwidth_kbit: 65 } } } });
    const { passed, allowance } = outward(host.web1, stream(host.web1.ip, 1500, 100, freshPorts()));
    expect(passed).toBeGreaterThanOrEqual(Math.floor((8125 + 65_536) / 100));
    expect(passed).toBeLessThanOrEqual((8125 + 65_536) / 100 + allowance(82));
  });

  it('lets as much in, by a measure of its own', async () => {
    await host.give({ pools: { web: { limits: { bandwidth_kbit: 66 } } } });
    const burst = 8250 + 65_536;
    for (const guest of [host.web1, host.web2]) {
      const { passed, allowance } = inward(guest, 300, 1000);
      expect(passed).toBeGreaterThanOrEqual(Math.floor(burst / 1000));
      expect(passed).toBeLessThanOrEqual(burst / 1000 + allowance(9));
    }
    expect(inward(host.db, 300, 1000).passed).toBe(300);
  });

  it('does not touch what instances send each other', async () => {
    await host.give({ tenant: { limits: { bandwidth_kbit: 64, packets_per_second: 1 } } });
    const { web1, web2, peers } = host;
    web2.forget();
    for (let i = 1; i <= 300; i += 1) {
      web1.sendTo(web2.mac, udp(web1.ip, web2.ip, 9000, 9001, 'x'.repeat(972)));
      if (i % 100 === 0) settle(peers);
    }
    expect(web2.received.filter(({ ip }) => ip?.dport === 9001)).toHaveLength(300);
  });

  it('is taken off at once', async () => {
    await host.give(limited);
    outward(host.web1, stream(host.web1.ip, 300, 1000, freshPorts()));
    await host.give({});
    expect(outward(host.web1, stream(host.web1.ip, 300, 1000, freshPorts())).passed).toBe(300);
  });
});
