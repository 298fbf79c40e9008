import { deriveTenantNet, instanceIp, macAddress, tapName } from '@mvm/protocol/names';
import { describe, expect, it } from 'vitest';
import { applySteps } from './apply-steps.js';
import { planNetwork } from './plan.js';
import { renderBridgeBatch } from './render-bridge.js';
import { renderIpBatch } from './render-ip.js';
import { renderNftScript } from './render-nft.js';
import type { DesiredHostNetwork, NetworkContext, ObservedNetwork } from './types.js';
import { verifyNetwork } from './verify.js';

const context: NetworkContext = { clusterCidr: '10.240.0.0/12', uplinks: ['eth0'], base: 'present' };
const net = deriveTenantNet(3, '10.240.3.0/24');
const port = {
  tapName: tapName(3, 5),
  mac: macAddress(3, 5),
  ipv4: instanceIp(net, 5),
  ownerUid: 1_900_000_773,
};
const desired: DesiredHostNetwork = { tenants: [{ net, ports: [port] }] };
const nothing: DesiredHostNetwork = { tenants: [] };

const bare: ObservedNetwork = {
  links: [],
  tables: 'absent',
  tableFaults: [],
  elements: [],
  profiles: [],
  rules: [],
  sysctls: { 'net/ipv4/conf/all/forwarding': '0', 'net/ipv4/conf/eth0/forwarding': '0' },
};
const ready = applySteps(bare, planNetwork(nothing, bare, context));
const busy = applySteps(ready, planNetwork(desired, ready, context));

describe('planNetwork', () => {
  it('makes a tenant and its instance: filter first, links up last', () => {
    const steps = planNetwork(desired, ready, context);
    expect(renderNftScript(steps)).toBe(
      [
        'add element bridge mvm taps { "tn3i5" }',
        'add element bridge mvm port_mac { "tn3i5" . 02:fc:00:03:00:05 }',
        'add element bridge mvm port_src { "tn3i5" . 02:fc:00:03:00:05 . 10.240.3.5 }',
        'add element inet mvm ports { "tn3i5" }',
        'add element inet mvm self { 10.240.3.5 . 10.240.3.5 }',
        'add element inet mvm bridges { "br-tenant-3" }',
        'add element inet mvm intra { "br-tenant-3" . "br-tenant-3" }',
        'add element inet mvm gw { "br-tenant-3" . 10.240.3.1 }',
        'add element inet mvm egress { "br-tenant-3" : goto egress_internet }',
        '',
      ].join('\n'),
    );
    expect(renderIpBatch(steps)).toBe(
      [
        'link add name br-tenant-3 address 02:fc:00:03:00:01 mtu 1500 type bridge forward_delay 0 stp_state 0 mcast_snooping 0 no_linklocal_learn 1 group_fwd_mask 0',
        'address add 10.240.3.1/24 dev br-tenant-3',
        'tuntap add dev tn3i5 mode tap user 1900000773',
        'link set dev tn3i5 address fe:fc:00:03:00:05',
        'link set dev tn3i5 mtu 1500 arp off',
        'link set dev tn3i5 master br-tenant-3',
        'link set dev tn3i5 type bridge_slave learning off flood off mcast_flood on bcast_flood on hairpin off isolated off group_fwd_mask 0xfffd',
        'link set dev tn3i5 up',
        'link set dev br-tenant-3 up',
        '',
      ].join('\n'),
    );
    expect(renderBridgeBatch(steps)).toBe('fdb replace 02:fc:00:03:00:05 dev tn3i5 master static\n');
    const lastElement = steps.findLastIndex(({ kind }) => kind === 'element.add');
    expect(lastElement).toBeLessThan(steps.findIndex(({ kind }) => kind === 'bridge.create'));
  });

  it('takes them down in reverse: links first, filter last', () => {
    const kinds = planNetwork(nothing, busy, context).map(({ kind }) => kind);
    expect(kinds.slice(0, 3)).toEqual(['tap.delete', 'bridge.delete', 'flows.forget']);
    expect(new Set(kinds.slice(3))).toEqual(new Set(['element.delete']));
  });

  it('ends the connections of a guest that has no TAP any more, unless they are kept', () => {
    const idle = applySteps(ready, planNetwork({ tenants: [{ net, ports: [] }] }, ready, context));
    const plan = (flows: Partial<NetworkContext>) =>
      planNetwork({ tenants: [{ net, ports: [] }] }, idle, { ...context, ...flows });
    expect(plan({ endedFlows: [port.ipv4] })).toEqual([{ kind: 'flows.forget', address: port.ipv4 }]);
    expect(plan({ endedFlows: [port.ipv4], keptFlows: [port.ipv4] })).toEqual([]);
  });

  it('says nothing when nothing is to do', () => {
    expect(planNetwork(desired, busy, context)).toEqual([]);
  });

  it('writes a deletion so that it succeeds when it was deleted meanwhile', () => {
    const script = renderNftScript(planNetwork(nothing, busy, context));
    expect(script).toMatch(/^add element bridge mvm taps \{ "tn3i5" \}$/m);
    expect(script).toMatch(/^delete element bridge mvm taps \{ "tn3i5" \}$/m);
    expect(script.indexOf('add element bridge')).toBeLessThan(script.indexOf('delete element bridge'));
  });

  it('changes the verdict of a bridge in one transaction', () => {
    const open: DesiredHostNetwork = {
      tenants: [{ net, ports: [port], policies: { tenant: { egress: 'open' } } }],
    };
    expect(
      renderNftScript(planNetwork(open, busy, context))
        .trim()
        .split('\n'),
    ).toEqual([
      'add element inet mvm egress { "br-tenant-3" : goto egress_internet }',
      'delete element inet mvm egress { "br-tenant-3" : goto egress_internet }',
      'add element inet mvm egress { "br-tenant-3" : goto egress_open }',
    ]);
  });

  it('refuses a name that a foreign interface has, and leaves it alone when it is not desired', () => {
    const foreign = {
      name: 'br-tenant-3',
      kind: 'other',
      mac: '',
      up: true,
      master: null,
      addresses: [],
      ownerUid: null,
      settings: {},
      portSettings: {},
      forwarding: [],
    };
    const observed: ObservedNetwork = { ...ready, links: [{ ...foreign, kind: 'other' }] };
    expect(() => planNetwork(desired, observed, context)).toThrow('exists already');
    expect(planNetwork(nothing, observed, context)).toEqual([]);
  });

  it('switches forwarding for the uplink and the bridge only, and remembers to give it back', () => {
    const steps = planNetwork(nothing, bare, context);
    expect(steps.filter(({ kind }) => kind === 'sysctl.write')).toEqual([
      { kind: 'sysctl.write', key: 'net/ipv4/conf/eth0/forwarding', value: '1', was: '0' },
    ]);
    expect(ready.elements.filter(({ set }) => set === 'switched')).toEqual([
      { set: 'switched', key: ['eth0'] },
    ]);
    const leaving = planNetwork(nothing, ready, { ...context, base: 'absent' });
    expect(leaving[0]).toEqual({
      kind: 'sysctl.write',
      key: 'net/ipv4/conf/eth0/forwarding',
      value: '0',
      was: '1',
    });
  });

  it('does not take forwarding away from a host that forwards everywhere by now', () => {
    const docker = { ...ready, sysctls: { ...ready.sysctls, 'net/ipv4/conf/all/forwarding': '1' } };
    const leaving = planNetwork(nothing, docker, { ...context, base: 'absent' });
    expect(leaving.filter(({ kind }) => kind === 'sysctl.write')).toEqual([]);
  });

  it('turns IPv6 off on bridge and TAP where the kernel has it', () => {
    const withIpv6 = { ...ready, sysctls: { ...ready.sysctls, 'net/ipv6/conf/default/disable_ipv6': '0' } };
    const keys = planNetwork(desired, withIpv6, context).flatMap((step) =>
      step.kind === 'sysctl.write' ? [step.key] : [],
    );
    expect(keys).toContain('net/ipv6/conf/br-tenant-3/disable_ipv6');
    expect(keys).toContain('net/ipv6/conf/tn3i5/disable_ipv6');
  });

  it('makes steps that survive JSON', () => {
    const steps = planNetwork(desired, bare, context);
    expect(JSON.parse(JSON.stringify(steps))).toEqual(steps);
  });
});

describe('verifyNetwork', () => {
  it('names every fault of damaged tables', () => {
    const damaged: ObservedNetwork = {
      ...busy,
      tables: 'damaged',
      tableFaults: ['chain inet forward has other rules'],
    };
    expect(verifyNetwork(desired, damaged, context)).toEqual([
      { object: 'table', name: 'mvm', state: 'different', detail: 'chain inet forward has other rules' },
    ]);
  });

  it('names a TAP that belongs to the wrong user', () => {
    const links = busy.links.map((link) => (link.kind === 'tap' ? { ...link, ownerUid: 1000 } : link));
    const drifts = verifyNetwork(desired, { ...busy, links }, context);
    expect(drifts[0]).toEqual({
      object: 'tap',
      name: 'tn3i5',
      state: 'unwanted',
      detail: 'a TAP owned by uid 1000',
    });
  });
});
