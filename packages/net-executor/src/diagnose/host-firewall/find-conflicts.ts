import { parseIpv4, parseIpv4Cidr } from '@mvm/protocol/names';
import { TABLE_NAME } from '../../base-tables/base-tables.js';
import { asArray, asRecord, asText, type JsonRecord } from '../../observe/json.js';
import { evaluateChain } from './evaluate.js';
import { parseIptablesSave } from './parse-iptables-save.js';
import { parseNftTable } from './parse-nft-table.js';
import type { ForeignChain, ForeignPacket, ForeignTable } from './rules.js';

/** How a program that only reads ended; null when there is none of that name. */
export type ReadProgram = (
  program: string,
  args: readonly string[],
) => Promise<{ readonly exitCode: number; readonly stdout: string; readonly stderr: string } | null>;

/** What is looked at besides programs. */
export interface ForeignSite {
  /** An interface that tenants' guests are behind, e.g. `br-tenant-3`; need not exist. */
  readonly bridge: string;
  /** Interfaces by which guests leave the host. */
  readonly uplinks: readonly string[];
  /** Canonical CIDR. */
  readonly clusterCidr: string;
  /** Whether bridged packets pass the tables of IP too (br_netfilter). */
  readonly bridgedPassIp: boolean;
  /** Text of /proc/net/ip_tables_names, the tables of iptables-legacy; null when it cannot be read. */
  readonly legacyTables: string | null;
}

/** What guests lose. `answers`: what they send leaves, and nothing comes back. */
export type ForeignEffect = 'egress' | 'answers' | 'same_tenant';

/** A chain of other software that stops guests' packets. It opens nothing: what mvm drops stays dropped. */
export interface FirewallConflict {
  /** As far as its tables tell. */
  readonly software: 'docker' | 'firewalld' | 'ufw' | 'another firewall';
  /** Which chain decides, in words: `chain FORWARD of ip filter (iptables), by its policy`. */
  readonly where: string;
  readonly effects: readonly ForeignEffect[];
  /** Commands that repair it, one per line. */
  readonly fix: readonly string[];
}

/** `blocks` null: nothing could be seen; `problem` says why. */
export type FirewallFindings =
  | {
      readonly blocks: readonly FirewallConflict[];
      readonly looked: number;
      /** Base chains that guests' packets may meet and that are not read here, e.g. `netdev filter ingress`. */
      readonly unread: readonly string[];
    }
  | { readonly blocks: null; readonly problem: string };

/** An address that stands for the internet. Source: RFC 5737. */
const OUTSIDE = parseIpv4('203.0.113.9');

function packets({
  bridge,
  uplinks,
  clusterCidr,
  bridgedPassIp,
}: ForeignSite): [ForeignEffect, ForeignPacket][] {
  const guest = parseIpv4Cidr(clusterCidr).network + 5;
  const common = { protocol: 'tcp' } as const;
  const ways = uplinks.flatMap((uplink): [ForeignEffect, ForeignPacket][] => [
    ['egress', { ...common, iif: bridge, oif: uplink, src: guest, dst: OUTSIDE, state: 'new' }],
    ['answers', { ...common, iif: uplink, oif: bridge, src: OUTSIDE, dst: guest, state: 'established' }],
  ]);
  const between: ForeignPacket = {
    ...common,
    iif: bridge,
    oif: bridge,
    src: guest,
    dst: guest + 1,
    state: 'new',
  };
  return bridgedPassIp ? [...ways, ['same_tenant', between]] : ways;
}

function softwareOf(table: ForeignTable): FirewallConflict['software'] {
  const names = table.chains.map(({ name }) => name);
  if (table.name === 'firewalld') return 'firewalld';
  if (names.some((name) => name.startsWith('ufw-'))) return 'ufw';
  return names.includes('DOCKER-USER') ? 'docker' : 'another firewall';
}

function fixOf(table: ForeignTable, base: ForeignChain, clusterCidr: string): string[] {
  switch (softwareOf(table)) {
    case 'firewalld':
      return [`firewall-cmd --permanent --zone=trusted --add-source=${clusterCidr}`, 'firewall-cmd --reload'];
    case 'ufw':
      return [`ufw route allow from ${clusterCidr}`, `ufw route allow to ${clusterCidr}`];
    case 'docker': {
      const insert = `${table.tool === 'iptables-legacy' ? 'iptables-legacy' : 'iptables'} -I DOCKER-USER`;
      return [`${insert} -i br-tenant-+ -j ACCEPT`, `${insert} -o br-tenant-+ -j ACCEPT`];
    }
    case 'another firewall': {
      if (table.tool !== 'nft') {
        const insert = `${table.tool} -I ${base.name}`;
        return [`${insert} -i br-tenant-+ -j ACCEPT`, `${insert} -o br-tenant-+ -j ACCEPT`];
      }
      const insert = `nft insert rule ${table.family} ${table.name} ${base.name}`;
      if (base.hook === 'prerouting')
        return [
          `${insert} iifname '"br-tenant-*"' accept`,
          `nft list chain ${table.family} ${table.name} ${base.name}`,
        ];
      return [`${insert} iifname '"br-tenant-*"' accept`, `${insert} oifname '"br-tenant-*"' accept`];
    }
  }
}

/** What a packet that is routed meets, in this order; between guests of one tenant the same with br_netfilter. */
const ROUTED_HOOKS = new Set(['prerouting', 'forward', 'postrouting']);

/** Before it is routed it has no way out yet, and an answer bears the host's own address, which is not known here. */
function atHook({ hook }: ForeignChain, effect: ForeignEffect, packet: ForeignPacket): ForeignPacket {
  if (hook !== 'prerouting') return packet;
  return { ...packet, oif: '', dst: effect === 'answers' ? 0 : packet.dst };
}

/** The blocks in one table: each base chain that stops some packet, with all that it stops. Pure. */
export function findConflicts(table: ForeignTable, site: ForeignSite): FirewallConflict[] {
  return table.chains
    .filter(({ hook }) => hook !== null && ROUTED_HOOKS.has(hook))
    .flatMap((base): FirewallConflict[] => {
      const stopped = packets(site)
        .map(([effect, packet]) => ({ effect, ...evaluateChain(table, base, atHook(base, effect, packet)) }))
        .filter(({ verdict }) => verdict === 'drop');
      const [first] = stopped;
      if (first === undefined) return [];
      const how = first.by === 'policy' ? 'by its policy' : 'by a rule';
      return [
        {
          software: softwareOf(table),
          where: `chain ${first.chain} of ${table.family} ${table.name} (${table.tool}), ${how}`,
          effects: [...new Set(stopped.map(({ effect }) => effect))],
          fix: fixOf(table, base, site.clusterCidr),
        },
      ];
    });
}

/** Base chains of others. */
function foreignChains(stdout: string): JsonRecord[] {
  return asArray(asRecord(JSON.parse(stdout)).nftables)
    .map((object) => asRecord(asRecord(object).chain))
    .filter(({ hook, table }) => typeof hook === 'string' && table !== TABLE_NAME);
}

function isRead({ hook, family, type }: JsonRecord): boolean {
  return ROUTED_HOOKS.has(asText(hook)) && (family === 'ip' || family === 'inet') && type !== 'nat';
}

/** Chains that a guest's IPv4 packet may meet, and that nothing here reads. */
function unreadChains(stdout: string): string[] {
  const met = (chain: JsonRecord) =>
    chain.family === 'netdev' || chain.family === 'bridge' || chain.hook === 'ingress';
  return foreignChains(stdout)
    .filter(met)
    .map(({ family, table, name }) => `${asText(family)} ${asText(table)} ${asText(name)}`);
}

/** Tables of others with a chain that forwarded IPv4 passes. Those that translate addresses drop nothing. */
function foreignTables(stdout: string): { family: string; name: string }[] {
  const found = foreignChains(stdout)
    .filter(isRead)
    .map(({ family, table }) => ({ family: asText(family), name: asText(table) }));
  return [...new Map(found.map((table) => [`${table.family} ${table.name}`, table])).values()];
}

const IPTABLES_TABLES = new Set(['raw', 'mangle', 'filter', 'security']);

/** A table, by iptables-save where iptables made it, because nft does not show what its extensions ask. */
async function readTable(family: string, name: string, read: ReadProgram): Promise<ForeignTable | null> {
  if (family === 'ip' && IPTABLES_TABLES.has(name)) {
    const saved = await read('iptables-nft-save', ['-t', name]);
    const table = saved?.exitCode === 0 ? parseIptablesSave(saved.stdout, 'iptables', name) : null;
    if (table !== null) return table;
  }
  const listed = await read('nft', ['-j', 'list', 'table', family, name]);
  return listed?.exitCode === 0 ? parseNftTable(family, name, listed.stdout) : null;
}

/**
 * Chains of other software that stop guests' packets although mvm lets them pass, with the commands that repair it. Reads
 * only; as root, because only root may see the rules. Rules are read as far as they can be: what a rule asks that is not
 * known here is taken not to hold.
 */
export async function findFirewallConflicts(read: ReadProgram, site: ForeignSite): Promise<FirewallFindings> {
  const chains = await read('nft', ['-j', 'list', 'chains']);
  if (chains === null) return { blocks: null, problem: 'nft is not installed' };
  if (chains.exitCode !== 0) {
    const denied = /Operation not permitted|Permission denied/.test(chains.stderr);
    const problem = denied
      ? 'only root may see the rules of other software'
      : chains.stderr.trim().slice(0, 200);
    return { blocks: null, problem };
  }
  const tables: ForeignTable[] = [];
  for (const { family, name } of foreignTables(chains.stdout)) {
    const table = await readTable(family, name, read);
    if (table !== null) tables.push(table);
  }
  // Asking iptables-legacy for a table would make it: only one that is there is asked for.
  for (const name of site.legacyTables?.split('\n').filter((each) => IPTABLES_TABLES.has(each)) ?? []) {
    const saved = await read('iptables-legacy-save', ['-t', name]);
    const table = saved?.exitCode === 0 ? parseIptablesSave(saved.stdout, 'iptables-legacy', name) : null;
    if (table !== null) tables.push(table);
  }
  return {
    blocks: tables.flatMap((table) => findConflicts(table, site)),
    looked: tables.length,
    unread: unreadChains(chains.stdout),
  };
}
