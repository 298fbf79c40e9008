import { expect, it } from 'vitest';
import { runChecks } from './check.js';
import type { HostProbe } from './host-probe.js';
import { networkChecks } from './network-checks.js';

const ROUTES =
  'Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\neth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\n';
const CHAIN = {
  chain: { family: 'inet', table: 'filter', name: 'forward', type: 'filter', hook: 'forward', prio: 0 },
};

interface Host {
  readonly uid?: number;
  readonly files?: Record<string, string>;
  readonly dirs?: Record<string, string[]>;
  /** Policy of the only chain of other software; null: there is none. */
  readonly policy?: 'accept' | 'drop' | null;
}

/** A host in memory; refuses programs that it does not know. */
function host({ uid = 0, files = {}, dirs = {}, policy = null }: Host): HostProbe {
  const texts: Record<string, string> = { '/proc/net/route': ROUTES, ...files };
  const refuse = () => {
    throw new Error('not modelled');
  };
  return {
    nodeVersion: 'v20.20.2',
    kernelRelease: '6.1.0',
    arch: 'x64',
    uid,
    groups: [],
    readText: async (path) => texts[path],
    list: async (path) => dirs[path] ?? [],
    openReadWrite: refuse,
    kindOf: async (path) => (path in texts ? 'other' : 'absent'),
    freeBytes: refuse,
    freeInodes: refuse,
    isOpenToOthers: refuse,
    run: refuse,
    program: async () => null,
    read: async (program, args) => {
      if (program === 'iptables-nft-save') return null;
      if (program !== 'nft') throw new Error(`not modelled: ${program}`);
      if (uid !== 0) return { exitCode: 1, stdout: '', stderr: 'Operation not permitted (you must be root)' };
      const nftables = policy === null ? [] : [{ chain: { ...CHAIN.chain, policy } }];
      if (!['list chains', 'list table inet filter'].includes(args.slice(1).join(' '))) refuse();
      return { exitCode: 0, stdout: JSON.stringify({ nftables }), stderr: '# Warning: not ours' };
    },
  };
}

/** The kernel's answers to `ip -j route get`. */
interface Routes {
  readonly out: string;
  readonly back: string;
}

const TENANT = '\nbr-tenant-3\t0003F00A\t00000000\t0001\t0\t0\t0\t00FFFFFF\n';

async function routesOf({ out, back }: Routes) {
  const base = host({ files: { '/proc/net/route': ROUTES.trimEnd() + TENANT } });
  const read: HostProbe['read'] = async (program, args) => {
    if (program !== 'ip') return await base.read(program, args);
    const dev = args.includes('br-tenant-3') ? out : back;
    return { exitCode: 0, stdout: JSON.stringify([{ dst: args[3], dev }]), stderr: '' };
  };
  const results = await runChecks(
    networkChecks().filter(({ name }) => name === 'guest-routes'),
    { ...base, read },
  );
  return results[0];
}

it.each([
  [{ out: 'eth0', back: 'br-tenant-3' }, 'ok', 'answers find back'],
  [{ out: 'tun0', back: 'br-tenant-3' }, 'warn', 'tun0, which is no uplink of mvm'],
  [{ out: 'eth0', back: 'tun0' }, 'warn', 'is routed to tun0, not to br-tenant-3'],
])('policy routing that cuts guests off is seen: %o', async (routes, verdict, detail) => {
  expect(await routesOf(routes)).toMatchObject({ verdict, detail: expect.stringContaining(detail) });
});

it.each([
  ['262144', 1, 'ok'],
  ['65536', 1, 'warn'],
  ['262144', 100, 'warn'],
])('finding 7: a table of %s connections for %i tenants is %s', async (max, tenants, verdict) => {
  const files = { '/proc/sys/net/netfilter/nf_conntrack_max': `${max}\n` };
  const links = Array.from({ length: tenants }, (_, i) => `br-tenant-${i}`);
  const [found] = await runChecks(
    networkChecks().filter(({ name }) => name === 'conntrack-size'),
    host({ files, dirs: { '/sys/class/net': links } }),
  );
  expect(found?.verdict).toBe(verdict);
  if (verdict === 'warn') expect(found?.fix).toContain('net.netfilter.nf_conntrack_max=');
});

async function diagnose(of: Host) {
  const results = await runChecks(networkChecks(), host(of));
  return Object.fromEntries(
    results.map(({ check, verdict, detail, fix }) => [check, { verdict, detail, fix }]),
  );
}

it('a host of its own is in order', async () => {
  const files = { '/proc/sys/net/netfilter/nf_conntrack_max': '262144\n' };
  const { 'guest-routes': routes, ...others } = await diagnose({ files });
  for (const { verdict } of Object.values(others)) expect(verdict).toBe('ok');
  expect(routes?.verdict).toBe('skip');
  expect((await diagnose({ policy: 'accept' }))['other-firewalls']?.detail).toContain('none stops guests');
});

it('a chain that stops guests is named, with the commands that repair it', async () => {
  const found = (await diagnose({ policy: 'drop' }))['other-firewalls'];
  expect(found).toMatchObject({
    verdict: 'warn',
    detail: expect.stringContaining('chain forward of inet filter (nft), by its policy'),
  });
  expect(found?.detail).toContain('guests do not reach the outside');
  expect(found?.fix?.split('\n')[0]).toBe(
    `nft insert rule inet filter forward iifname '"br-tenant-*"' accept`,
  );
});

it('without root it says what it does not see, and what it does', async () => {
  const dirs = { '/sys/class/net': ['docker0', 'eth0'] };
  const files = {
    '/proc/sys/net/bridge/bridge-nf-call-iptables': '1\n',
    '/run/firewalld': '',
    '/etc/ufw/ufw.conf': 'ENABLED=yes\n',
  };
  const found = await diagnose({ uid: 1000, policy: 'drop', dirs, files });
  expect(found['other-firewalls']?.verdict).toBe('skip');
  for (const word of ['only root', 'docker0', 'firewalld', 'ufw', 'sudo mvm doctor']) {
    expect(found['other-firewalls']?.detail).toContain(word);
  }
  expect(found['bridge-netfilter']).toMatchObject({
    verdict: 'skip',
    detail: expect.stringContaining('sudo'),
  });
});

it.each([
  ['net.ipv4.ip_forward=0\n', 'warn'],
  ['net/ipv4/conf/all/forwarding = 0', 'warn'],
  ['# net.ipv4.ip_forward=0\n', 'ok'],
  ['net.ipv4.ip_forward=1\n', 'ok'],
])('a settings file with %j: %s', async (text, verdict) => {
  const path = '/etc/sysctl.d/99-hard.conf';
  const found = await diagnose({ dirs: { '/etc/sysctl.d': ['99-hard.conf'] }, files: { [path]: text } });
  expect(found['forwarding-kept']?.verdict).toBe(verdict);
  if (verdict === 'warn') expect(found['forwarding-kept']?.fix).toContain(path);
});

it('forwarding that is off now is a failure, with its cause where that is known', async () => {
  const dirs = { '/sys/class/net': ['br-tenant-3', 'eth0'] };
  const files = {
    '/proc/sys/net/ipv4/conf/br-tenant-3/forwarding': '1\n',
    '/proc/sys/net/ipv4/conf/eth0/forwarding': '0\n',
  };
  const found = await diagnose({ dirs, files });
  expect(found['forwarding-kept']).toMatchObject({
    verdict: 'fail',
    detail: expect.stringContaining('off on eth0'),
  });
  const known = await diagnose({ dirs, files: { ...files, '/etc/sysctl.conf': 'net.ipv4.ip_forward = 0' } });
  expect(known['forwarding-kept']?.fix).toContain('/etc/sysctl.conf');
});
