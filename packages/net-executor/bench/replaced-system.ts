import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import type { TenantNet } from '@mvm/protocol';
import type { InstancePort } from '../src/index.js';

// The way of the system that mvm replaces: one shell per request, in it one call of a program per object.

/** Whether iptables and ebtables are installed; otherwise each rule is an `nft` call of its own, which is quicker. */
export function hasIptables(): boolean {
  try {
    execFileSync('iptables', ['--version'], { stdio: 'ignore' });
    execFileSync('ebtables', ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

function iptablesRules(net: TenantNet, port: InstancePort): string[] {
  const { bridge_name: bridge, ipv4_subnet: subnet, gateway_ip: gateway } = net;
  return [
    `iptables -w -t nat -A POSTROUTING -s ${subnet} -o up0 -j MASQUERADE`,
    `iptables -w -A FORWARD -i ${bridge} -o ${bridge} -j ACCEPT`,
    `iptables -w -A FORWARD -i ${bridge} -o br-tenant-+ -j DROP`,
    `iptables -w -A FORWARD -i ${bridge} ! -o up0 -j DROP`,
    `iptables -w -A FORWARD -i ${bridge} -d 169.254.0.0/16 -j DROP`,
    `iptables -w -A FORWARD -i ${bridge} -d 10.0.0.0/8 -j DROP`,
    `iptables -w -A FORWARD -i ${bridge} -j ACCEPT`,
    `iptables -w -A FORWARD -o ${bridge} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT`,
    `iptables -w -A INPUT -i ${bridge} -d ${gateway} -p icmp -j ACCEPT`,
    `iptables -w -A INPUT -i ${bridge} -j DROP`,
    `ebtables -A FORWARD -i ${port.tapName} -s ! ${port.mac} -j DROP`,
    `ebtables -A FORWARD -i ${port.tapName} -p IPv4 --ip-src ! ${port.ipv4} -j DROP`,
    `ebtables -A FORWARD -i ${port.tapName} -p ARP --arp-ip-src ! ${port.ipv4} -j DROP`,
  ];
}

function nftRules(net: TenantNet, port: InstancePort): string[] {
  const { bridge_name: bridge, ipv4_subnet: subnet, gateway_ip: gateway } = net;
  return [
    `nat ip saddr ${subnet} oifname up0 masquerade`,
    `forward iifname ${bridge} oifname ${bridge} accept`,
    `forward iifname ${bridge} oifname "br-tenant-*" drop`,
    `forward iifname ${bridge} oifname != up0 drop`,
    `forward iifname ${bridge} ip daddr 169.254.0.0/16 drop`,
    `forward iifname ${bridge} ip daddr 10.0.0.0/8 drop`,
    `forward iifname ${bridge} accept`,
    `forward oifname ${bridge} ct state established,related accept`,
    `input iifname ${bridge} ip daddr ${gateway} icmp type echo-request accept`,
    `input iifname ${bridge} drop`,
    `forward iifname ${port.tapName} ether saddr != ${port.mac} drop`,
    `forward iifname ${port.tapName} ip saddr != ${port.ipv4} drop`,
    `forward iifname ${port.tapName} ip daddr ${port.ipv4} accept`,
  ].map((rule) => `nft 'add rule inet old ${rule}'`);
}

function links(net: TenantNet, port: InstancePort): string[] {
  const prefix = net.ipv4_subnet.split('/')[1] ?? '24';
  return [
    `ip link add ${net.bridge_name} type bridge`,
    `ip addr add ${net.gateway_ip}/${prefix} dev ${net.bridge_name}`,
    `ip tuntap add dev ${port.tapName} mode tap user ${port.ownerUid}`,
    `ip link set ${port.tapName} master ${net.bridge_name} up`,
    `ip link set ${net.bridge_name} up`,
  ];
}

/** The 5 + 13 calls that add a tenant with one TAP. */
export function addCommands(net: TenantNet, port: InstancePort, iptables: boolean): string[] {
  return [...links(net, port), ...(iptables ? iptablesRules(net, port) : nftRules(net, port))];
}

/** The calls that remove it; none for nft rules, which have no names by which to remove them. */
export function removeCommands(net: TenantNet, port: InstancePort, iptables: boolean): string[] {
  const rules = iptables ? iptablesRules(net, port).map((line) => line.replace(' -A ', ' -D ')) : [];
  return [...rules, `ip link del ${port.tapName}`, `ip link del ${net.bridge_name}`];
}

/** Runs the calls in one shell; returns when it ended. */
export async function runShell(commands: readonly string[]): Promise<void> {
  const child = spawn('bash', ['-ec', commands.join('\n')], { stdio: ['ignore', 'ignore', 'inherit'] });
  const [code] = await once(child, 'exit');
  if (code !== 0) throw new Error(`the shell ended with ${code}`);
}

/** Fills the namespace with tenants quickly: the same objects, loaded in bulk. */
export function fill(tenants: readonly { net: TenantNet; port: InstancePort }[], iptables: boolean): void {
  if (!iptables) {
    const chains = ['forward', 'input', 'nat'].map((name) => `add chain inet old ${name}`);
    execFileSync('nft', ['-f', '-'], { input: `add table inet old\n${chains.join('\n')}\n` });
  }
  const batch = tenants.flatMap(({ net, port }) => links(net, port).map((line) => line.slice(3)));
  execFileSync('ip', ['-batch', '-'], { input: `${batch.join('\n')}\n` });
  const rules = tenants.flatMap(({ net, port }) =>
    iptables ? iptablesRules(net, port) : nftRules(net, port),
  );
  if (!iptables) {
    const script = rules.map((line) => line.slice(5, -1)).join('\n');
    execFileSync('nft', ['-f', '-'], { input: `${script}\n` });
    return;
  }
  const appended = (start: string) =>
    rules.filter((line) => line.startsWith(start)).map((line) => `-A ${line.split(' -A ')[1]}`);
  const nat = appended('iptables -w -t nat');
  const filter = appended('iptables -w -A');
  const text = `*nat\n${nat.join('\n')}\nCOMMIT\n*filter\n${filter.join('\n')}\nCOMMIT\n`;
  execFileSync('iptables-restore', ['--noflush'], { input: text });
  execFileSync('ebtables-restore', ['--noflush'], { input: `*filter\n${appended('ebtables').join('\n')}\n` });
}
