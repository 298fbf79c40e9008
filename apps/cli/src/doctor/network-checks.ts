import { MAX_TRACKED_PER_TENANT } from '@mvm/net-executor';
import {
  type FirewallConflict,
  type FirewallFindings,
  type ForeignEffect,
  type ForeignSite,
  findFirewallConflicts,
  findRoute,
  findWayBack,
} from '@mvm/net-executor/diagnose';
import { DEFAULT_CLUSTER_CIDR, formatIpv4 } from '@mvm/protocol/names';
import { type Check, type Finding, fail, ok, skip, warn } from './check.js';
import type { HostProbe } from './host-probe.js';

const BRIDGE_NF = '/proc/sys/net/bridge/bridge-nf-call-iptables';
const EFFECTS: Readonly<Record<ForeignEffect, string>> = {
  egress: 'guests do not reach the outside',
  answers: 'guests get no answers from outside',
  same_tenant: 'guests of one tenant do not reach each other',
};

/** Tenants' networks as hostd reports them; else the defaults. */
export interface TenantRanges {
  /** The range of tenants' subnets. */
  readonly cluster_cidr?: string | undefined;
  /** Interfaces through which guests leave; by default those of the default routes. */
  readonly uplinks?: readonly string[] | undefined;
}

/**
 * Whether other software on this host stops guests, and what to do about it. None of it can open a way that mvm closes:
 * what mvm drops stays dropped.
 */
export function networkChecks(ranges: TenantRanges = {}): readonly Check<HostProbe>[] {
  return [
    { name: 'other-firewalls', area: 'network', run: (host) => checkFirewalls(host, ranges) },
    { name: 'bridge-netfilter', area: 'network', run: checkBridgeNetfilter },
    { name: 'conntrack-size', area: 'network', run: checkConntrackSize },
    { name: 'guest-routes', area: 'network', run: (host) => checkGuestRoutes(host, ranges) },
    { name: 'forwarding-kept', area: 'network', run: (host) => checkForwardingKept(host, ranges) },
  ];
}

/** Interfaces of the IPv4 default routes. Source: proc(5). */
async function uplinksOf(host: HostProbe, { uplinks }: TenantRanges): Promise<readonly string[]> {
  if (uplinks !== undefined) return uplinks;
  const table = (await host.readText('/proc/net/route')) ?? '';
  const found = table
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t'))
    .filter(([, destination, , , , , , mask]) => destination === '00000000' && mask === '00000000')
    .map(([device]) => device ?? '');
  return [...new Set(found)];
}

async function siteOf(host: HostProbe, ranges: TenantRanges): Promise<ForeignSite> {
  const links = await host.list('/sys/class/net');
  return {
    bridge: links.find((name) => /^br-tenant-\d+$/.test(name)) ?? 'br-tenant-0',
    uplinks: await uplinksOf(host, ranges),
    clusterCidr: ranges.cluster_cidr ?? DEFAULT_CLUSTER_CIDR,
    bridgedPassIp: (await host.readText(BRIDGE_NF))?.trim() === '1',
    legacyTables: host.uid === 0 ? ((await host.readText('/proc/net/ip_tables_names')) ?? null) : null,
  };
}

/** Signs of software with a firewall of its own that everybody may see. */
async function signsOf(host: HostProbe): Promise<string[]> {
  const links = await host.list('/sys/class/net');
  const ufw = (await host.readText('/etc/ufw/ufw.conf').catch(() => undefined)) ?? '';
  return [
    ...(links.includes('docker0') ? ['docker (docker0)'] : []),
    ...((await host.kindOf('/run/firewalld')) === 'absent' ? [] : ['firewalld (/run/firewalld)']),
    ...(/^ENABLED=yes$/m.test(ufw) ? ['ufw (/etc/ufw/ufw.conf)'] : []),
  ];
}

/** A block in words. */
export function describeBlock({ software, where, effects }: FirewallConflict): string {
  return `${software}: ${effects.map((effect) => EFFECTS[effect]).join(', ')}: stopped in ${where}`;
}

/** Chains of other software that stop guests, and where it was looked. */
export async function lookForBlocks(
  host: HostProbe,
  ranges: TenantRanges,
): Promise<{ readonly site: ForeignSite; readonly found: FirewallFindings }> {
  const site = await siteOf(host, ranges);
  return { site, found: await findFirewallConflicts((program, args) => host.read(program, args), site) };
}

async function checkFirewalls(host: HostProbe, ranges: TenantRanges): Promise<Finding> {
  const { site, found } = await lookForBlocks(host, ranges);
  if (found.blocks === null) {
    const signs = await signsOf(host);
    const seen = signs.length > 0 ? `; there is ${signs.join(', ')}, which may stop guests` : '';
    return skip(`not seen: ${found.problem}${seen}. "sudo mvm doctor" looks`);
  }
  if (found.blocks.length > 0) {
    const keep =
      'then make it last: these commands, like the rules of that software, end with a restart of it';
    const fixes = found.blocks.flatMap(({ fix }) => fix);
    const lasts = found.blocks.every(({ software }) => software === 'firewalld' || software === 'ufw');
    return warn(found.blocks.map(describeBlock).join('\n'), [...fixes, ...(lasts ? [] : [keep])].join('\n'));
  }
  if (site.uplinks.length === 0)
    return ok('no other software stops guests of one tenant; there is no uplink');
  return ok(
    found.looked === 0
      ? 'no other software filters what is forwarded'
      : `${found.looked} tables of other software, none stops guests`,
  );
}

async function checkBridgeNetfilter(host: HostProbe): Promise<Finding> {
  const value = (await host.readText(BRIDGE_NF))?.trim();
  if (value !== '1') return ok('bridged packets are not passed to iptables');
  return host.uid === 0
    ? ok(
        'br_netfilter is on: rules for forwarded packets apply within a tenant too; other-firewalls looks at them',
      )
    : skip(
        'br_netfilter is on: rules of other software apply between guests of one tenant too. "sudo mvm doctor" looks whether one stops them',
      );
}

const CONNTRACK_MAX = '/proc/sys/net/netfilter/nf_conntrack_max';
/** Entries that are left to the host itself, whatever its tenants do. */
const CONNTRACK_OF_HOST = 65_536;

/** The kernel's table of connections is one for all: when it is full, no connection can be opened. */
async function checkConntrackSize(host: HostProbe): Promise<Finding> {
  const text = (await host.readText(CONNTRACK_MAX))?.trim();
  if (text === undefined) return skip('the kernel tracks no connections in this network');
  const max = Number(text);
  const tenants = (await host.list('/sys/class/net')).filter((name) => /^br-tenant-\d+$/.test(name)).length;
  const needed = tenants * MAX_TRACKED_PER_TENANT + CONNTRACK_OF_HOST;
  const says = `${max} tracked connections are possible; ${tenants} tenants may hold ${MAX_TRACKED_PER_TENANT} each`;
  if (max >= needed) return ok(says);
  return warn(
    `${says}, and with ${CONNTRACK_OF_HOST} for the host that is ${needed}: when it is full, no connection can be opened`,
    `sysctl -w net.netfilter.nf_conntrack_max=${needed}\nand in /etc/sysctl.d/90-mvm.conf: net.netfilter.nf_conntrack_max = ${needed}`,
  );
}

/** An address that stands for the internet. Source: RFC 5737. */
const OUTSIDE = '203.0.113.9';

/** The first tenant's bridge that is up, and the address that a guest of it could have. */
async function sampleGuest(host: HostProbe): Promise<{ bridge: string; address: string } | null> {
  const table = (await host.readText('/proc/net/route')) ?? '';
  for (const line of table.split('\n').slice(1)) {
    const [link = '', destination = ''] = line.split('\t');
    if (!/^br-tenant-\d+$/.test(link) || destination.length !== 8) continue;
    const network = Buffer.from(destination, 'hex').readUInt32LE(0);
    return { bridge: link, address: formatIpv4(network + 3) };
  }
  return null;
}

/** Whether the kernel would route a guest's packet to an uplink, and the answer back, policy routing included. */
async function checkGuestRoutes(host: HostProbe, ranges: TenantRanges): Promise<Finding> {
  const guest = await sampleGuest(host);
  if (guest === null) return skip('no tenant has a network here');
  const uplinks = await uplinksOf(host, ranges);
  const read: HostProbe['read'] = (program, args) => host.read(program, args);
  const route = await findRoute(read, { to: OUTSIDE, from: guest.address, bridge: guest.bridge });
  const rules = 'ip rule; ip route show table all';
  if (route.kind !== 'link')
    return warn('the host routes no packet of a guest to the internet: there is no route for it', rules);
  if (!uplinks.includes(route.link)) {
    return warn(
      `the host routes guests' packets to ${route.link}, which is no uplink of mvm (${uplinks.join(', ') || 'it has none'}): they are dropped`,
      `name it to hostd (uplink = ["${route.link}"] in /etc/mvm/hostd.toml) and restart hostd, or look at the policy routing: ${rules}`,
    );
  }
  const back = await findWayBack(read, {
    guest: guest.address,
    from: OUTSIDE,
    link: route.link,
    bridge: guest.bridge,
  });
  return back === null
    ? ok(`guests' packets leave by ${route.link}, and answers find back`)
    : warn(`guests' packets leave by ${route.link}, but ${back}`, rules);
}

/** In the order in which systemd-sysctl reads them; a later one wins. Source: sysctl.d(5). */
const SYSCTL_DIRS = ['/usr/lib/sysctl.d', '/run/sysctl.d', '/etc/sysctl.d'];
/** A line that turns the forwarding of all interfaces off, and so resets every interface's own switch. */
const TURNS_OFF = /^\s*-?net[./]ipv4[./](?:ip_forward|conf[./](?:all|default)[./]forwarding)\s*=\s*0\s*$/m;

async function checkForwardingKept(host: HostProbe, ranges: TenantRanges): Promise<Finding> {
  const uplinks = await uplinksOf(host, ranges);
  const bridges = (await host.list('/sys/class/net')).filter((name) => /^br-tenant-\d+$/.test(name));
  const off: string[] = [];
  for (const name of bridges.length > 0 ? [...bridges, ...uplinks] : []) {
    const value = await host.readText(`/proc/sys/net/ipv4/conf/${name}/forwarding`);
    if (value?.trim() === '0') off.push(name);
  }
  const files: string[] = [];
  for (const dir of SYSCTL_DIRS) {
    const names = (await host.list(dir))
      .filter((name) => name.endsWith('.conf'))
      .map((name) => `${dir}/${name}`);
    files.push(...names);
  }
  const offending: string[] = [];
  for (const path of [...files, '/etc/sysctl.conf']) {
    if (TURNS_OFF.test((await host.readText(path).catch(() => undefined)) ?? '')) offending.push(path);
  }
  const culprit = offending.length > 0 ? `take net.ipv4.ip_forward=0 out of ${offending.join(', ')}` : '';
  if (off.length > 0) {
    return fail(
      `forwarding is off on ${off.join(', ')}: guests there do not reach the outside. hostd turns it on within 10 seconds`,
      culprit || 'is mvm-hostd running? If it comes back, find what sets net.ipv4.ip_forward=0',
    );
  }
  return culprit === ''
    ? ok('nothing that is configured here turns forwarding off')
    : warn(
        'each time sysctl settings are applied again, forwarding goes off until hostd restores it, up to 10 seconds',
        culprit,
      );
}
