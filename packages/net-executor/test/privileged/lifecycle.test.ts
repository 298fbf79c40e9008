import { execFileSync } from 'node:child_process';
import { isCodedError } from '@mvm/protocol';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createNetworkExecutor, type NetworkExecutor } from '../../src/execute/index.js';
import type { TenantPolicies } from '../../src/index.js';
import { createCommandRunner } from '../../src/observe/index.js';
import { CLUSTER_CIDR, instancePort, tenantNet } from '../support/desired.js';
import { createSpoilableRunner, type SpoilableRunner } from '../support/failing-runner.js';
import { enterTestHost, hostState, linkNames, nft, sh } from '../support/host.js';

const acme = tenantNet(3);
const acmePort = instancePort(acme, 5);
const other = tenantNet(7);
const otherPort = instancePort(other, 3);

const FOREIGN_RULES = `
table inet foreign {
  set names { type ifname; elements = { "docker0" } }
  chain forward { type filter hook forward priority 0; policy accept; iifname @names counter accept; }
}
table bridge foreign {
  chain pre { type filter hook prerouting priority -100; policy accept; }
}
`;

let executor: NetworkExecutor;
let runner: SpoilableRunner;
let bare: string;

async function reasonOf(promise: Promise<unknown>): Promise<string> {
  const error: unknown = await promise.then(
    () => null,
    (caught: unknown) => caught,
  );
  return isCodedError(error) ? error.reason : `not a CodedError: ${String(error)}`;
}

beforeAll(() => {
  enterTestHost();
  sh('ip', 'link', 'add', 'up0', 'type', 'bridge');
  sh('ip', 'address', 'add', '198.51.100.1/24', 'dev', 'up0');
  sh('ip', 'link', 'set', 'up0', 'up');
  sh('ip', 'route', 'add', 'default', 'via', '198.51.100.2');
  sh('ip', 'link', 'add', 'docker0', 'type', 'bridge');
  sh('ip', 'link', 'add', 'tn9', 'type', 'bridge');
  sh('ip', 'rule', 'add', 'pref', '91', 'from', '203.0.113.9', 'blackhole');
  nft(FOREIGN_RULES);
});

beforeEach(async () => {
  bare = hostState();
  runner = createSpoilableRunner();
  executor = createNetworkExecutor({ clusterCidr: CLUSTER_CIDR, uplinks: 'auto', runner });
  await executor.reconcile({ tenants: [] });
  runner.changes.length = 0;
});

afterEach(async () => {
  runner.spoil = null;
  await executor.removeAll();
  expect(hostState()).toBe(bare);
});

describe('a tenant and an instance', () => {
  it('come with one nft transaction, one ip batch and one forwarding entry, filter first', async () => {
    await executor.ensureTenant(acme);
    expect(runner.changes.map(({ program }) => program)).toEqual(['nft', 'ip']);
    await executor.attachPort(acme, acmePort);
    expect(runner.changes.slice(2).map(({ program }) => program)).toEqual(['nft', 'ip', 'bridge']);
    expect(await executor.verify()).toEqual([]);
  });

  it('stand in the kernel as wanted: bridge, gateway, MAC, port, settings', async () => {
    await executor.ensureTenant(acme);
    await executor.attachPort(acme, acmePort);
    const [bridge] = JSON.parse(sh('ip', '-j', '-d', 'address', 'show', 'dev', 'br-tenant-3'));
    expect(bridge.linkinfo.info_kind).toBe('bridge');
    expect(bridge.address).toBe('02:fc:00:03:00:01');
    expect(bridge.flags).toContain('UP');
    expect(
      bridge.addr_info.map((a: { local: string; prefixlen: number }) => `${a.local}/${a.prefixlen}`),
    ).toEqual(['10.240.3.1/24']);
    const [tap] = JSON.parse(sh('ip', '-j', '-d', 'link', 'show', 'dev', 'tn3i5'));
    expect(tap.master).toBe('br-tenant-3');
    expect(tap.linkinfo.info_data).toMatchObject({ type: 'tap', persist: true, user: acmePort.ownerUid });
    const setting = (key: string) => sh('cat', `/proc/sys/net/ipv4/conf/${key}`).trim();
    expect(setting('br-tenant-3/arp_ignore')).toBe('1');
    expect(setting('br-tenant-3/rp_filter')).toBe('1');
    expect(setting('br-tenant-3/forwarding')).toBe('1');
    expect(setting('up0/forwarding')).toBe('1');
    expect(setting('docker0/forwarding')).toBe('0');
    expect(setting('all/forwarding')).toBe('0');
  });

  it('change nothing when repeated', async () => {
    await executor.ensureTenant(acme);
    await executor.attachPort(acme, acmePort);
    const before = hostState();
    runner.changes.length = 0;
    expect(await executor.ensureTenant(acme)).toEqual({ steps: [] });
    expect(await executor.attachPort(acme, acmePort)).toEqual({ steps: [] });
    expect(await executor.reconcile({ tenants: [{ net: acme, ports: [acmePort] }] })).toEqual({ steps: [] });
    expect(runner.changes).toEqual([]);
    expect(hostState()).toBe(before);
  });

  it('leave nothing when they go, link before guard, and may go twice', async () => {
    const empty = hostState();
    await executor.ensureTenant(acme);
    await executor.attachPort(acme, acmePort);
    runner.changes.length = 0;
    await executor.detachPort(acme, acmePort);
    expect(runner.changes.map(({ program }) => program)).toEqual(['ip', 'nft']);
    await executor.removeTenant(acme);
    expect(hostState()).toBe(empty);
    expect(await executor.detachPort(acme, acmePort)).toEqual({ steps: [] });
    expect(await executor.removeTenant(acme)).toEqual({ steps: [] });
  });

  it('leave the other tenant alone', async () => {
    await executor.ensureTenant(other);
    await executor.attachPort(other, otherPort);
    const before = hostState();
    await executor.ensureTenant(acme);
    await executor.attachPort(acme, acmePort);
    await executor.detachPort(acme, acmePort);
    await executor.removeTenant(acme);
    expect(hostState()).toBe(before);
  });

  it("give the TAP to the VMM's uid and to no other user", async () => {
    await executor.ensureTenant(acme);
    await executor.attachPort(acme, acmePort);
    // Some machines let only root open the device; then this mount namespace gets one of its own.
    sh('mknod', '/run/netns/tun', 'c', '10', '200');
    sh('chmod', '666', '/run/netns/tun');
    sh('mount', '--bind', '/run/netns/tun', '/dev/net/tun');
    try {
      const script = new URL('../support/open-tap-child.mjs', import.meta.url).pathname;
      const as = (uid: number) =>
        execFileSync(process.execPath, [script, 'tn3i5'], { uid, gid: 65_534, encoding: 'utf8' });
      expect(as(acmePort.ownerUid + 1)).toBe('errno 1');
      expect(as(acmePort.ownerUid)).toBe('taken');
    } finally {
      sh('umount', '/dev/net/tun');
    }
  });
});

describe('policies', () => {
  const pools: TenantPolicies['pools'] = {
    web: { publish: [{ protocol: 'tcp', host_port: 8443, guest_port: 443 }] },
  };
  const webPort = instancePort(acme, 5, 'web');
  const open: TenantPolicies = { tenant: { egress: 'open' }, pools };
  const entries = (map: string) => sh('nft', 'list', 'map', 'inet', 'mvm', map);
  const profiles = () => sh('nft', 'list', 'table', 'inet', 'mvm').match(/\bp_[0-9a-f]{16}_/g) ?? [];

  it('are put into the maps, kept by later requests, changed, and gone with their tenant', async () => {
    await executor.ensureTenant(acme, open);
    expect(entries('egress')).toContain('"br-tenant-3" : goto egress_open');
    expect(entries('publish')).not.toContain('8443');
    await executor.attachPort(acme, webPort);
    expect(entries('publish')).toContain('tcp . 8443 : 10.240.3.5 . 443');
    expect(await executor.ensureTenant(acme)).toEqual({ steps: [] });
    expect(await executor.ensureTenant(acme, structuredClone(open))).toEqual({ steps: [] });
    expect(await executor.verify(3)).toEqual([]);
    await executor.ensureTenant(acme, { tenant: { egress: 'none' } });
    expect(entries('egress') + entries('publish')).not.toMatch(/br-tenant-3|8443/);
    expect(await executor.verify()).toEqual([]);
    await executor.ensureTenant(acme, open);
    await executor.detachPort(acme, webPort);
    await executor.removeTenant(acme);
    expect(entries('egress') + entries('publish')).not.toMatch(/br-tenant-3|8443/);
    expect(await executor.verify()).toEqual([]);
  });

  it('are refused when a port is published twice, or one cannot be enforced', async () => {
    await executor.ensureTenant(acme, open);
    expect(await reasonOf(executor.ensureTenant(other, { pools }))).toBe('net.clash');
    const twice = { pools: { ...pools, api: pools.web ?? {} } };
    expect(await reasonOf(executor.ensureTenant(acme, twice))).toBe('net.clash');
    const cidr = '10.0.0.0/8 accept';
    expect(await reasonOf(executor.ensureTenant(other, { tenant: { allow: [{ cidr }] } }))).toBe(
      'net.invalid_policy',
    );
    expect(linkNames(/^br-tenant-7$/)).toEqual([]);
    expect(await executor.verify()).toEqual([]);
  });

  it('are shared by all who have the same, and gone with the last', async () => {
    const policies = { tenant: { deny: [{ cidr: '203.0.113.0/24' }], limits: { bandwidth_kbit: 1000 } } };
    await executor.ensureTenant(acme, policies);
    expect(profiles()).toEqual([]);
    await executor.attachPort(acme, acmePort);
    const names = new Set(profiles());
    expect(names.size).toBe(1);
    await executor.ensureTenant(other, structuredClone(policies));
    await executor.attachPort(other, otherPort);
    expect(new Set(profiles())).toEqual(names);
    expect(await executor.verify(3)).toEqual([]);
    await executor.detachPort(acme, acmePort);
    await executor.removeTenant(acme);
    expect(new Set(profiles())).toEqual(names);
    expect(await executor.verify(7)).toEqual([]);
    expect(await executor.verify()).toEqual([]);
    await executor.ensureTenant(other, {});
    expect(profiles()).toEqual([]);
    expect(await executor.verify()).toEqual([]);
  });

  it('of a tenant with instances change by one nft script and no other command that changes anything', async () => {
    await executor.ensureTenant(acme);
    await executor.attachPort(acme, acmePort);
    const calls: string[] = [];
    const real = createCommandRunner();
    const watched = createNetworkExecutor({
      clusterCidr: CLUSTER_CIDR,
      uplinks: ['up0'],
      runner: {
        run(program, args, stdin) {
          calls.push(`${program} ${args.join(' ')}`);
          return real.run(program, args, stdin);
        },
      },
    });
    await watched.reconcile({ tenants: [{ net: acme, ports: [acmePort] }] });
    calls.length = 0;
    const { steps } = await watched.ensureTenant(acme, { tenant: { limits: { connections: 5 } } });
    expect(calls).toEqual(['ip -j -d -force -batch -', 'nft -f -']);
    expect(steps.map(({ kind }) => kind)).toEqual([
      'profile.create',
      'element.delete',
      'element.add',
      'element.add',
    ]);
    expect(await watched.verify()).toEqual([]);
  });

  it('are found out when somebody changes their chains, and restored', async () => {
    await executor.ensureTenant(acme, { tenant: { deny: [{ cidr: '203.0.113.0/24' }] } });
    await executor.attachPort(acme, acmePort);
    const chain = `${profiles()[0]}out`;
    sh('nft', 'insert', 'rule', 'inet', 'mvm', chain, 'accept');
    expect(await executor.verify(3)).toMatchObject([
      { object: 'profile', name: chain.slice(0, -4), state: 'different' },
    ]);
    const desired = { tenants: [{ net: acme, ports: [acmePort], policies: { tenant: { deny: [] } } }] };
    await executor.reconcile(desired);
    expect(profiles()).toEqual([]);
    expect(await executor.verify()).toEqual([]);
  });

  it('that failed to be applied leave everything as it was', async () => {
    await executor.ensureTenant(acme, { tenant: { limits: { connections: 5 } } });
    await executor.attachPort(acme, acmePort);
    const before = hostState();
    const real = createCommandRunner();
    let broken = false;
    const failing = createNetworkExecutor({
      clusterCidr: CLUSTER_CIDR,
      uplinks: ['up0'],
      runner: {
        run(program, args, stdin) {
          const spoiled = broken && program === 'nft' && args[0] === '-f' ? `${stdin}add nonsense\n` : stdin;
          return real.run(program, args, spoiled);
        },
      },
    });
    const policies = { tenant: { limits: { connections: 5 } } };
    await failing.reconcile({ tenants: [{ net: acme, ports: [acmePort], policies }] });
    broken = true;
    const next = { tenant: { limits: { connections: 6 }, isolate_instances: true } };
    expect(await reasonOf(failing.ensureTenant(acme, next))).toBe('net.nft_failed');
    expect(hostState()).toBe(before);
    broken = false;
    expect(await failing.verify()).toEqual([]);
    await executor.ensureTenant(acme, {});
  });
});

describe('many tenants at once', () => {
  const many = Array.from({ length: 101 }, (_, i) => ({ net: tenantNet(100 + i), ports: [] }));
  const batches = () => runner.changes.filter(({ program }) => program === 'ip');
  const bridges = () => linkNames(/^br-tenant-/);

  it('are removed in batches of 100 links, each of which has its time', async () => {
    await executor.reconcile({ tenants: many });
    expect(bridges()).toHaveLength(many.length);
    runner.changes.length = 0;
    await executor.removeAll();
    expect(bridges()).toEqual([]);
    expect(batches().map(({ stdin }) => stdin.trimEnd().split('\n').length)).toEqual([100, 3]);
    expect(hostState()).toBe(bare);
    await executor.reconcile({ tenants: [] });
  });

  it('all stay when a later batch fails', async () => {
    await executor.reconcile({ tenants: many });
    let batch = 0;
    runner.spoil = ({ program, stdin }) => {
      batch += program === 'ip' ? 1 : 0;
      return program === 'ip' && batch === 2 ? `link delete dev none\n${stdin}` : null;
    };
    expect(await reasonOf(executor.removeAll())).toBe('net.ip_failed');
    runner.spoil = null;
    expect((await executor.verify()).filter(({ object }) => object !== 'sysctl')).toEqual([]);
  });
});

describe('refusals', () => {
  it('a tenant with instances is neither removed nor moved', async () => {
    await executor.ensureTenant(acme);
    await executor.attachPort(acme, acmePort);
    expect(await reasonOf(executor.removeTenant(acme))).toBe('net.tenant_has_ports');
    const moved = { ...acme, ipv4_subnet: '10.241.0.0/24', gateway_ip: '10.241.0.1' };
    expect(await reasonOf(executor.ensureTenant(moved))).toBe('net.tenant_has_ports');
    expect(await executor.verify()).toEqual([]);
  });

  it("a subnet that overlaps another tenant's", async () => {
    await executor.ensureTenant(acme);
    const overlapping = { ...other, ipv4_subnet: '10.240.3.128/25', gateway_ip: '10.240.3.129' };
    expect(await reasonOf(executor.ensureTenant(overlapping))).toBe('net.clash');
    expect(linkNames(/^br-tenant-7$/)).toEqual([]);
  });

  it("a name that somebody else's interface has", async () => {
    sh('ip', 'link', 'add', 'br-tenant-3', 'type', 'veth', 'peer', 'name', 'foreign1');
    try {
      expect(await reasonOf(executor.ensureTenant(acme))).toBe('net.name_taken');
    } finally {
      sh('ip', 'link', 'delete', 'br-tenant-3');
    }
  });

  it.each([
    { bridge_name: 'br-tenant-3; reboot' },
    { bridge_name: 'br-tenant-3\nlink delete dev up0' },
    { bridge_name: 'up0' },
    { gateway_ip: '10.240.3.1 } ; flush ruleset' },
    { ipv4_subnet: '10.240.3.5/24' },
    { ipv4_subnet: '0.0.0.0/0' },
    { ipv4_subnet: 'fd00::/64' },
    { tenant_net_id: 65_535 },
  ])('a hostile network %j, before anything is run', async (spoiled) => {
    const hostile = { ...acme, ...spoiled };
    const codes = await Promise.all(
      [
        executor.ensureTenant(hostile),
        executor.removeTenant(hostile),
        executor.attachPort(hostile, acmePort),
        executor.detachPort(hostile, acmePort),
      ].map((request) =>
        request.then(
          () => 'done',
          (error: unknown) => (isCodedError(error) ? error.code : error),
        ),
      ),
    );
    expect(codes).toEqual(Array(4).fill('invalid_argument'));
    expect(runner.changes).toEqual([]);
  });

  it('any request before the first reconcile', async () => {
    const fresh = createNetworkExecutor({ clusterCidr: CLUSTER_CIDR, uplinks: 'auto' });
    expect(await reasonOf(fresh.ensureTenant(acme))).toBe('net.not_reconciled');
  });
});

describe('a request that fails', () => {
  it('changes nothing when nft refuses', async () => {
    await executor.ensureTenant(acme);
    const before = hostState();
    runner.spoil = (call) =>
      call.program === 'nft' ? `${call.stdin}add element inet mvm nonsense { 1 }\n` : null;
    expect(await reasonOf(executor.attachPort(acme, acmePort))).toBe('net.nft_failed');
    expect(hostState()).toBe(before);
  });

  it.each([1, 2, 3])('changes nothing when ip fails at line %i of a new port', async (line) => {
    await executor.ensureTenant(acme);
    const before = hostState();
    let spoiling = 0;
    runner.spoil = (call) => {
      const lines = call.stdin.split('\n');
      if (call.program !== 'ip' || !call.stdin.includes('tuntap add')) return null;
      spoiling += 1;
      lines.splice(line - 1, 0, 'link set dev nonsense up');
      return lines.join('\n');
    };
    expect(await reasonOf(executor.attachPort(acme, acmePort))).toBe('net.ip_failed');
    expect(spoiling).toBe(2);
    expect(hostState()).toBe(before);
    runner.spoil = null;
    await executor.attachPort(acme, acmePort);
    expect(await executor.verify()).toEqual([]);
  });

  it('brings the link back when its guard cannot be taken away', async () => {
    await executor.ensureTenant(acme);
    await executor.attachPort(acme, acmePort);
    runner.spoil = (call) => (call.program === 'nft' ? `${call.stdin}nonsense\n` : null);
    expect(await reasonOf(executor.detachPort(acme, acmePort))).toBe('net.nft_failed');
    runner.spoil = null;
    expect((await executor.verify()).filter(({ object }) => object !== 'sysctl')).toEqual([]);
    await executor.detachPort(acme, acmePort);
    expect(linkNames(/^tn3i/)).toEqual([]);
  });

  it('finds the tables gone, loads them whole, and succeeds', async () => {
    await executor.ensureTenant(other);
    await executor.attachPort(other, otherPort);
    nft('delete table bridge mvm\ndelete table inet mvm\n');
    await executor.ensureTenant(acme);
    expect(await executor.verify()).toEqual([]);
  });
});

describe('reconcile', () => {
  it('removes what no record names, and repairs what was damaged, in one go', async () => {
    await executor.ensureTenant(acme);
    await executor.attachPort(acme, acmePort);
    await executor.ensureTenant(other);
    sh('ip', 'link', 'set', 'tn3i5', 'nomaster');
    sh('ip', 'address', 'add', '192.0.2.1/32', 'dev', 'br-tenant-3');
    sh('nft', 'add', 'rule', 'inet', 'mvm', 'from_guest', 'accept');
    sh('nft', 'delete', 'element', 'bridge', 'mvm', 'port_mac', '{ "tn3i5" . 02:fc:00:03:00:05 }');
    sh('ip', 'rule', 'delete', 'pref', '91', 'from', CLUSTER_CIDR, 'to', CLUSTER_CIDR);
    sh('sysctl', '-qw', 'net.ipv4.conf.br-tenant-3.rp_filter=0');
    const names = (await executor.verify()).map(({ object, name, state }) => `${object} ${name} ${state}`);
    expect(names).toEqual([
      'table mvm different',
      `rule isolate ${CLUSTER_CIDR} missing`,
      'address br-tenant-3 192.0.2.1/32 unwanted',
      'tap tn3i5 different',
      // Its entry in the forwarding table went with it.
      'tap tn3i5 different',
      'sysctl net/ipv4/conf/br-tenant-3/rp_filter different',
    ]);
    await executor.reconcile({ tenants: [{ net: acme, ports: [acmePort] }] });
    expect(await executor.verify()).toEqual([]);
    expect(linkNames(/^br-tenant-|^tn\d+i/).toSorted()).toEqual(['br-tenant-3', 'tn3i5']);
  });

  it('makes a TAP anew that belongs to the wrong user', async () => {
    await executor.ensureTenant(acme);
    sh('ip', 'tuntap', 'add', 'dev', 'tn3i5', 'mode', 'tap', 'user', '4242');
    await executor.attachPort(acme, acmePort);
    expect(await executor.verify()).toEqual([]);
  });

  it('works without any uplink, and takes one up when it appears', async () => {
    sh('ip', 'route', 'delete', 'default');
    await executor.reconcile({ tenants: [] });
    expect(sh('nft', 'list', 'set', 'inet', 'mvm', 'uplinks')).not.toContain('up0');
    expect(sh('cat', '/proc/sys/net/ipv4/conf/up0/forwarding').trim()).toBe('0');
    sh('ip', 'route', 'add', 'default', 'via', '198.51.100.2');
    await executor.reconcile({ tenants: [] });
    expect(sh('nft', 'list', 'set', 'inet', 'mvm', 'uplinks')).toContain('up0');
  });
});

describe('close', () => {
  it("leaves a tenant's network standing", async () => {
    await executor.ensureTenant(acme);
    const before = hostState();
    await executor.close();
    expect(hostState()).toBe(before);
  });

  it('leaves nothing when there is no tenant', async () => {
    await executor.ensureTenant(acme);
    await executor.removeTenant(acme);
    await executor.close();
    expect(hostState()).toBe(bare);
  });

  it('gives forwarding back even after a flush took the record of it', async () => {
    sh('nft', 'delete', 'table', 'inet', 'mvm');
    await executor.reconcile({ tenants: [] });
    await executor.close();
    expect(hostState()).toBe(bare);
  });
});
