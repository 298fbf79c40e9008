import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { counter, enterTestHost, sh } from '../support/host.js';
import { buildPolicyHost, GATEWAY_A, GATEWAY_B, type PolicyHost, TENANT_A } from '../support/policy-host.js';
import { connects, pings } from '../support/raw-peer.js';
import { CONTAINER_ADDRESS, PUBLIC_ADDRESS, UPLINK_ADDRESS } from '../support/topology.js';

const NEIGHBOUR = '203.0.113.6';
const PRIVATE = '10.99.0.1';
const EVERYTHING = [{ cidr: '0.0.0.0/0' }];

let host: PolicyHost;

beforeAll(async () => {
  enterTestHost();
  host = await buildPolicyHost();
});

afterAll(async () => {
  await host.close();
});

/** How many packets a counter counts while this runs. */
function counts(name: string, run: () => void): number {
  const before = counter('inet', name);
  run();
  return counter('inet', name) - before;
}

describe('egress', () => {
  it.each([
    { egress: undefined, outside: true, inside: false },
    { egress: 'internet' as const, outside: true, inside: false },
    { egress: 'open' as const, outside: true, inside: true },
    { egress: 'none' as const, outside: false, inside: false },
  ])('$egress: public addresses $outside, private ones $inside', async ({ egress, outside, inside }) => {
    await host.give({ tenant: { egress } });
    expect(host.reaches(host.web1, PUBLIC_ADDRESS)).toBe(outside);
    expect(host.reaches(host.web1, PRIVATE)).toBe(inside);
  });

  it('is the same with a policy that needs rules of its own', async () => {
    const limits = { connections: 500 };
    await host.give({ tenant: { egress: 'internet', limits } });
    expect([host.reaches(host.web1, PUBLIC_ADDRESS), host.reaches(host.web1, PRIVATE)]).toEqual([
      true,
      false,
    ]);
    await host.give({ tenant: { egress: 'open', limits } });
    expect([host.reaches(host.web1, PUBLIC_ADDRESS), host.reaches(host.web1, PRIVATE)]).toEqual([true, true]);
    await host.give({ tenant: { egress: 'none', limits } });
    expect([host.reaches(host.web1, PUBLIC_ADDRESS), host.reaches(host.web1, PRIVATE)]).toEqual([
      false,
      false,
    ]);
  });

  it("of a pool replaces its tenant's, for its instances only, both ways", async () => {
    await host.give({ pools: { web: { egress: 'none' } } });
    expect([host.reaches(host.web1, PUBLIC_ADDRESS), host.reaches(host.db, PUBLIC_ADDRESS)]).toEqual([
      false,
      true,
    ]);
    await host.give({ tenant: { egress: 'none' }, pools: { web: { egress: 'open' } } });
    expect([host.reaches(host.web1, PRIVATE), host.reaches(host.db, PUBLIC_ADDRESS)]).toEqual([true, false]);
  });
});

describe('deny', () => {
  it('closes a network, and not its neighbour', async () => {
    await host.give({ tenant: { deny: [{ cidr: `${PUBLIC_ADDRESS}/32` }] } });
    const dropped = counts('c_denied', () => expect(host.reaches(host.web1, PUBLIC_ADDRESS)).toBe(false));
    expect(dropped).toBe(1);
    expect(pings(host.web1, GATEWAY_A, PUBLIC_ADDRESS, host.peers)).toBe(false);
    expect(host.reaches(host.web1, NEIGHBOUR)).toBe(true);
    await host.give({});
    expect(host.reaches(host.web1, PUBLIC_ADDRESS)).toBe(true);
  });

  it.each([
    { deny: { protocol: 'tcp' as const, first_port: 80 }, tcp: false, ping: true },
    { deny: { protocol: 'tcp' as const, first_port: 81 }, tcp: true, ping: true },
    { deny: { protocol: 'tcp' as const, first_port: 70, last_port: 80 }, tcp: false, ping: true },
    { deny: { protocol: 'tcp' as const, first_port: 81, last_port: 90 }, tcp: true, ping: true },
    { deny: { protocol: 'tcp' as const }, tcp: false, ping: true },
    { deny: { protocol: 'udp' as const, first_port: 80 }, tcp: true, ping: true },
    { deny: { protocol: 'icmp' as const }, tcp: true, ping: false },
    { deny: {}, tcp: false, ping: false },
  ])('of $deny: TCP to port 80 $tcp, ping $ping', async ({ deny, tcp, ping }) => {
    await host.give({ tenant: { deny: [{ cidr: '203.0.113.0/24', ...deny }] } });
    expect(host.reaches(host.web1, PUBLIC_ADDRESS)).toBe(tcp);
    expect(pings(host.web1, GATEWAY_A, PUBLIC_ADDRESS, host.peers)).toBe(ping);
  });

  it('beats allow', async () => {
    const deny = [{ cidr: `${PRIVATE}/32` }];
    await host.give({ tenant: { allow: [{ cidr: '10.99.0.0/16' }] } });
    expect(host.reaches(host.web1, PRIVATE)).toBe(true);
    await host.give({ tenant: { allow: [{ cidr: '10.99.0.0/16' }], deny } });
    expect(host.reaches(host.web1, PRIVATE)).toBe(false);
    expect(host.reaches(host.web1, '10.99.0.2')).toBe(true);
  });

  it("of a pool replaces its tenant's list as a whole", async () => {
    const deny = [{ cidr: `${PUBLIC_ADDRESS}/32` }];
    await host.give({
      tenant: { deny },
      pools: { web: { deny: [{ cidr: `${NEIGHBOUR}/32` }] }, db: { deny: [] } },
    });
    expect([host.reaches(host.web1, PUBLIC_ADDRESS), host.reaches(host.web1, NEIGHBOUR)]).toEqual([
      true,
      false,
    ]);
    expect([host.reaches(host.db, PUBLIC_ADDRESS), host.reaches(host.db, NEIGHBOUR)]).toEqual([true, true]);
  });

  it('cuts a connection that stands, at once, and lets it continue when it is removed', async () => {
    await host.give({});
    const carries = host.connectionOf(host.web1);
    expect(carries()).toBe(true);
    await host.give({ tenant: { deny: [{ cidr: `${PUBLIC_ADDRESS}/32` }] } });
    expect(carries()).toBe(false);
    await host.give({});
    expect(carries()).toBe(true);
  });
});

describe('allow', () => {
  it('opens a part of a private range to egress internet, and no more of it', async () => {
    const before = counter('inet', 'c_private');
    await host.give({ tenant: { allow: [{ cidr: `${PRIVATE}/32`, protocol: 'tcp', first_port: 80 }] } });
    expect(host.reaches(host.web1, PRIVATE)).toBe(true);
    expect(pings(host.web1, GATEWAY_A, PRIVATE, host.peers)).toBe(false);
    expect(host.reaches(host.web1, '10.99.0.2')).toBe(false);
    expect(host.reaches(host.web1, PUBLIC_ADDRESS)).toBe(true);
    expect(counter('inet', 'c_private') - before).toBe(2);
  });

  it('opens a destination to egress none, and no other', async () => {
    await host.give({ tenant: { egress: 'none', allow: [{ cidr: `${PUBLIC_ADDRESS}/32` }] } });
    expect(host.reaches(host.web1, PUBLIC_ADDRESS)).toBe(true);
    expect(counts('c_none', () => expect(host.reaches(host.web1, NEIGHBOUR)).toBe(false))).toBe(1);
  });

  it('its removal cuts the connection that stood by it', async () => {
    await host.give({ tenant: { allow: [{ cidr: `${PRIVATE}/32` }] } });
    const carries = host.connectionOf(host.web1, PRIVATE);
    expect(carries()).toBe(true);
    await host.give({ tenant: { limits: { connections: 500 } } });
    expect(carries()).toBe(false);
  });

  describe('of every address', () => {
    beforeAll(async () => {
      await host.give({
        tenant: { egress: 'open', allow: EVERYTHING },
        pools: { web: { allow: EVERYTHING } },
      });
    });

    it('opens what the uplink reaches', () => {
      expect(host.reaches(host.web1, PRIVATE)).toBe(true);
      expect(host.reaches(host.web1, '169.254.169.254')).toBe(true);
    });

    it('does not open another tenant, by routing or by its gateway', () => {
      const { web1, b1, peers } = host;
      b1.forget();
      expect(host.reaches(web1, b1.ip)).toBe(false);
      expect(pings(web1, GATEWAY_A, b1.ip, peers)).toBe(false);
      expect(connects(web1, GATEWAY_B, b1.ip, 80, peers)).toBe('no answer');
      expect(pings(web1, GATEWAY_A, '10.240.2.1', peers)).toBe(false);
      expect(b1.received.filter(({ ip }) => ip?.src === web1.ip)).toEqual([]);
    });

    it('does not open another tenant while the routing rules are gone either', async () => {
      sh('ip', 'rule', 'delete', 'pref', '91');
      const dropped = counts('c_xtenant', () => expect(host.reaches(host.web1, host.b1.ip)).toBe(false));
      expect(dropped).toBe(1);
      await host.executor.ensureTenant(TENANT_A);
      expect(await host.executor.verify()).toEqual([]);
    });

    it('does not open the host, on any of its addresses', () => {
      const { web1, peers } = host;
      for (const address of [UPLINK_ADDRESS, '10.240.1.1', '172.17.0.1', '127.0.0.1']) {
        // Without the filter a closed port would be refused, not silent.
        expect(connects(web1, GATEWAY_A, address, 22, peers), address).toBe('no answer');
      }
    });

    it('does not open what is no uplink: containers', () => {
      const { web1, container, peers } = host;
      container.forget();
      const dropped = counts('c_notuplink', () =>
        expect(connects(web1, GATEWAY_A, CONTAINER_ADDRESS, 80, peers)).toBe('no answer'),
      );
      expect(dropped).toBe(1);
      expect(container.received.filter(({ ip }) => ip !== undefined)).toEqual([]);
    });
  });
});
