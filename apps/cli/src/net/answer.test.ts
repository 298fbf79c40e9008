import type { NetworkPolicy, PoolNetworkPolicy } from '@mvm/protocol';
import { expect, it } from 'vitest';
import {
  hostInfo,
  instances,
  networkDrops,
  networkReport,
  tenants,
} from '../../test/integration/model-data.js';
import { createColours } from '../format/colours.js';
import { answerWhy } from './answer.js';
import { renderAnswer } from './render-answer.js';
import type { WhyFacts } from './why-facts.js';

// acme/web/i-00000001 (10.240.3.3) runs, i-00000002 (10.240.3.4) is stopped; globex is another tenant.

function factsOf(over: Partial<WhyFacts> = {}, tenant?: NetworkPolicy, pool?: PoolNetworkPolicy): WhyFacts {
  const all = instances();
  const acme = tenants(all).find(({ tenant_id }) => tenant_id === 'acme');
  const instance = all.find(({ tenant_id, status }) => tenant_id === 'acme' && status === 'running');
  if (acme === undefined || instance === undefined) throw new Error('the model has them');
  const [web] = acme.pools;
  if (web === undefined) throw new Error('the model has a pool');
  const pools = [{ ...web, ...(pool === undefined ? {} : { network_policy: pool }) }];
  const ports = all
    .filter(({ tenant_id }) => tenant_id === 'acme')
    .map(({ net, pool_id, instance_id }) => ({
      tapName: net?.tap_dev ?? '',
      mac: net?.mac ?? '',
      ipv4: net?.guest_ip ?? '',
      poolId: pool_id,
      instanceId: instance_id,
    }));
  return {
    instance,
    tenant: { ...acme, ...(tenant === undefined ? {} : { policy: tenant }), pools },
    target: null,
    host: hostInfo(),
    guests: {
      net: acme.net,
      ports,
      policies: { ...(tenant && { tenant }), ...(pool && { pools: { web: pool } }) },
    },
    to: { address: '203.0.113.5', protocol: 'tcp', port: 443 },
    uplinks: ['eth0'],
    route: { kind: 'link', link: 'eth0' },
    wayBack: null,
    report: networkReport('acme', false),
    drops: networkDrops(3),
    foreign: { blocks: [], looked: 0, unread: [] },
    checks: [],
    ...over,
  };
}

const stopped = instances().find(({ status }) => status === 'stopped') ?? null;
const PRIVATE = { address: '10.1.2.3', protocol: 'tcp', port: 5432 } as const;

it('a public address is reached by default, within the limits', () => {
  const answer = answerWhy(factsOf(), null);
  expect(answer).toMatchObject({
    reachable: true,
    reason: 'every rule lets it pass',
    follows_from: { field: 'egress', source: 'default', of: null },
    counter: null,
    obstacles: [],
    next_steps: [],
  });
  expect(answer.limits.map(({ follows_from: field }) => field?.field)).toContain('limits.connections');
});

it('names the entry that denies, whose it is, where its counter stands, and how to change it', () => {
  const deny = [
    { cidr: '8.8.8.8/32' },
    { cidr: '203.0.113.0/24', protocol: 'tcp', first_port: 443 },
  ] as const;
  const byPool = answerWhy(factsOf({}, { deny: [] }, { deny: [...deny] }), null);
  expect(byPool).toMatchObject({
    reachable: false,
    permitted: false,
    follows_from: { field: 'deny[1]', source: 'pool', of: 'acme/web' },
    counter: { name: 'c_denied', table: 'inet mvm', packets: null },
    next_steps: ['take deny[1] out of network_policy of pool acme/web, or narrow it, and apply'],
  });
  const byTenant = answerWhy(factsOf({}, { deny: [...deny] }), null);
  expect(byTenant.follows_from).toEqual({ field: 'deny[1]', source: 'tenant', of: 'acme' });
  expect(byTenant.next_steps[0]).toContain('network.policy of tenant acme');
});

it('a private address: says which entry would allow it, and how many were dropped so far', () => {
  const answer = answerWhy(factsOf({ to: PRIVATE }), null);
  expect(answer).toMatchObject({ reachable: false, counter: { name: 'c_private', packets: 3 } });
  expect(answer.next_steps[0]).toContain('{ cidr: 10.1.2.3/32, protocol: tcp, first_port: 5432 } to allow');
});

it('isolation is the policy of the one that it keeps: here of the neighbour’s tenant', () => {
  const to = { address: stopped?.net?.guest_ip ?? '', protocol: 'icmp' } as const;
  const answer = answerWhy(factsOf({ target: stopped, to }, { isolate_instances: true }), null);
  expect(answer.follows_from).toEqual({ field: 'isolate_instances', source: 'tenant', of: 'acme' });
  expect(answer.next_steps[0]).toBe(
    'set isolate_instances: false in network.policy of tenant acme, and apply',
  );
});

it.each([
  ['a neighbour that does not run', { target: stopped }, 'target', 'mvm instance start acme/web/i-00000002'],
  [
    'a guest that sleeps',
    { instance: { ...factsOf().instance, status: 'sleeping' as const } },
    'instance',
    'mvm instance wake acme/web/i-00000001',
  ],
  [
    'a guest that is warm',
    { instance: { ...factsOf().instance, status: 'warm' as const } },
    'instance',
    'mvm instance resume acme/web/i-00000001',
  ],
])('the rules allow it, but %s is in the way', (_what, over, kind, next) => {
  const to = { address: '10.240.3.4', protocol: 'icmp' } as const;
  const answer = answerWhy(factsOf({ to, ...over }), null);
  expect(answer).toMatchObject({
    permitted: true,
    reachable: false,
    obstacles: [{ kind }],
    next_steps: [next],
  });
});

it('what the kernel lacks is in the way, what it has too much is not', () => {
  const drift = {
    object: 'bridge',
    name: 'br-tenant-3',
    state: 'missing',
    detail: 'does not exist',
  } as const;
  const report = (state: 'missing' | 'unwanted') => ({
    ...networkReport('acme', false),
    drifts: [{ ...drift, state }],
    drift_count: 1,
  });
  const answer = answerWhy(factsOf({ report: report('missing') }), null);
  expect(answer.obstacles).toMatchObject([
    { kind: 'drift', detail: expect.stringContaining('bridge br-tenant-3') },
  ]);
  expect(answer.next_steps[0]).toContain('mvm net verify acme');
  expect(answerWhy(factsOf({ report: report('unwanted') }), null).reachable).toBe(true);
});

it('other software matters where the packet goes: not to a neighbour, unless bridged packets pass it', () => {
  const block = { software: 'docker', where: 'chain FORWARD', fix: ['iptables -I …'] } as const;
  const blocks = (effect: 'egress' | 'same_tenant') => ({
    blocks: [{ ...block, effects: [effect] }],
    looked: 1,
    unread: [],
  });
  const running = { ...factsOf().instance, instance_id: 'i-00000002' };
  const neighbour = { target: running, to: { address: '10.240.3.4', protocol: 'icmp' } } as const;
  expect(answerWhy(factsOf({ foreign: blocks('egress') }), null)).toMatchObject({
    reachable: false,
    obstacles: [{ kind: 'other_software' }],
    next_steps: ['iptables -I …'],
  });
  expect(answerWhy(factsOf({ ...neighbour, foreign: blocks('egress') }), null).reachable).toBe(true);
  expect(answerWhy(factsOf({ ...neighbour, foreign: blocks('same_tenant') }), null).reachable).toBe(false);
});

it('an answer that does not find back to the guest is an obstacle, whatever the rules say', () => {
  const wayBack = 'an answer that comes in by eth0 for 10.240.3.3 is routed to tun0, not to br-tenant-3';
  const answer = answerWhy(factsOf({ wayBack }), null);
  expect(answer).toMatchObject({
    permitted: true,
    reachable: false,
    reason: expect.stringContaining('routed to tun0'),
    obstacles: [{ kind: 'way_back' }],
  });
});

it('chains that nothing here reads are named', () => {
  const foreign = { blocks: [], looked: 0, unread: ['netdev filter ingress'] };
  expect(answerWhy(factsOf({ foreign }), null).not_seen).toEqual([
    expect.stringContaining('netdev filter ingress'),
  ]);
});

it.each(['10.240.3.77', '10.240.9.3'])(
  'an address of the cluster’s range that no guest has, %s, is reported as such',
  (address) => {
    const answer = answerWhy(factsOf({ to: { address, protocol: 'icmp' } }), null);
    expect(answer).toMatchObject({
      reachable: false,
      counter: null,
      next_steps: [expect.stringContaining('no instance has')],
    });
  },
);

it('says what it could not look at', () => {
  const foreign = { blocks: null, problem: 'only root may see the rules of other software' } as const;
  const answer = answerWhy(factsOf({ foreign }), null);
  expect(answer).toMatchObject({ reachable: true, not_seen: [expect.stringContaining('only root')] });
});

it('forwarding that is off, and a missing route, are in the way of what leaves', () => {
  const off = {
    check: 'forwarding-kept',
    area: 'network',
    verdict: 'fail',
    detail: 'forwarding is off',
    fix: 'f',
  } as const;
  expect(answerWhy(factsOf({ checks: [off] }), null).obstacles).toMatchObject([{ kind: 'forwarding' }]);
  const lost = answerWhy(factsOf({ route: { kind: 'none' } }), null);
  expect([lost.reachable, lost.reason]).toEqual([false, 'the host has no route there']);
});

it('from outside: by which port, or how to publish it', () => {
  const publish = [{ protocol: 'tcp', host_port: 8443, guest_port: 443 }] as const;
  const to = { address: '10.240.3.3', protocol: 'tcp' } as const;
  const asked = { protocol: 'tcp', port: 443 } as const;
  expect(answerWhy(factsOf({ to }, {}, { publish: [...publish] }), asked)).toMatchObject({
    reachable: true,
    host_ports: [8443],
    follows_from: { field: 'publish', source: 'pool' },
  });
  const none = answerWhy(factsOf({ to }), asked);
  expect(none).toMatchObject({ reachable: false, counter: { name: 'c_unsolicited' } });
  expect(none.next_steps[0]).toMatch(
    /guest_port: 443, instance_id: i-00000001 } to publish in network_policy of pool acme\/web/,
  );
  const elsewhere = answerWhy(
    factsOf({ to }, {}, { publish: [{ ...publish[0], instance_id: 'i-9' }] }),
    asked,
  );
  expect(elsewhere.next_steps[0]).toContain('port 8443 of the host leads to i-9');
});

it('is told to people in order, and harmless on their terminal', () => {
  const drift = { object: 'tap', name: 'tn3i3\u001b[31m', state: 'missing', detail: 'no TAP' } as const;
  const report = { ...networkReport('acme', false), drifts: [drift], drift_count: 1 };
  const answer = answerWhy(factsOf({ to: PRIVATE, report }), null);
  const text = renderAnswer({ colours: createColours({ isTty: false, env: {} }) }, answer, false);
  expect(text).not.toContain('\u001b');
  expect(
    text
      .split('\n')
      .filter((line) => !/^ {2}\d/.test(line))
      .slice(0, 5),
  ).toEqual([
    'acme/web/i-00000001 → 10.1.2.3 port 5432/tcp: not reachable',
    '  because the packet was for a private or link-local address (egress: default)',
    '  counted by c_private, at 3 packets of all tenants (mvm net drops --watch)',
    '',
    'Way of the packet',
  ]);
  expect(text).toMatch(
    /\d\. inet egress_internet: private or link-local destination \[egress: default\]: ip daddr @private4/,
  );
});
