import { existsSync, readdirSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { parseBridgeName, parseTapName } from '@mvm/protocol/names';
import { TABLE_NAME } from '../base-tables/base-tables.js';
import { commandError } from '../command/command-error.js';
import {
  type CommandResult,
  type CommandRunner,
  createCommandRunner,
  type Program,
} from '../command/command-runner.js';
import { BRIDGE_IPV4_SYSCTLS, disableIpv6Key, FORWARD_ALL_KEY, forwardingKey } from '../expand-desired.js';
import { interfaceName } from '../grammar.js';
import type { ObservedLink, ObservedNetwork } from '../types.js';
import { parseForwarding } from './parse-forwarding.js';
import { parseLinks } from './parse-links.js';
import { parseRules } from './parse-rules.js';
import { parseTables } from './parse-tables.js';
import { readSysctl } from './sysctls.js';

/** Has a directory for each interface of this network namespace. */
const INTERFACES = '/proc/sys/net/ipv4/conf';

export interface ObserveOptions {
  /** Interfaces whose forwarding matters; names that do not exist are left out of the answer. */
  readonly uplinks: readonly string[];
  readonly runner?: CommandRunner | undefined;
}

function succeeded(program: Program, what: string, result: CommandResult): string {
  if (result.exitCode !== 0) throw commandError(program, what, result);
  return result.stdout;
}

function tableListing(result: CommandResult): string | null {
  if (result.exitCode !== 0 && /No such file or directory/.test(result.stderr)) return null;
  return succeeded('nft', 'listing the tables', result);
}

function sysctlKeys({ name, kind }: Pick<ObservedLink, 'name' | 'kind'>, ipv6: boolean): string[] {
  if (kind === 'other') return [];
  const ipv4 = Object.keys(BRIDGE_IPV4_SYSCTLS).map((setting) => `net/ipv4/conf/${name}/${setting}`);
  return [...(ipv6 ? [disableIpv6Key(name)] : []), ...(kind === 'bridge' ? ipv4 : [])];
}

/** How many settings are read between two turns of the event loop, about a millisecond's worth. */
const SETTINGS_PER_TURN = 150;

/**
 * The settings of all links that bear names of ours, read while `ip` and `nft` are at work: with a thousand tenants there
 * are many thousand files, and the programs only wait for this process when their pipes are full.
 */
async function readSettingsMeanwhile(): Promise<Map<string, string>> {
  const ipv6 = readSysctl(disableIpv6Key('default')) !== null;
  const keys = readdirSync(INTERFACES).flatMap((name) => {
    if (parseBridgeName(name) !== null) return sysctlKeys({ name, kind: 'bridge' }, ipv6);
    return parseTapName(name) === null ? [] : sysctlKeys({ name, kind: 'tap' }, ipv6);
  });
  const settings = new Map<string, string>();
  for (const [i, key] of keys.entries()) {
    const value = readSysctl(key);
    if (value !== null) settings.set(key, value);
    if (i % SETTINGS_PER_TURN === SETTINGS_PER_TURN - 1) await nextTurn();
  }
  return settings;
}

/**
 * The settings of these links and uplinks that matter to us, as of now; keys that do not exist are left out. `known`: those
 * that were just read.
 */
export function readSettings(
  links: readonly ObservedLink[],
  uplinks: readonly string[],
  known: ReadonlyMap<string, string> = new Map(),
): ObservedNetwork['sysctls'] {
  const ipv6 = readSysctl(disableIpv6Key('default')) !== null;
  const keys = [
    FORWARD_ALL_KEY,
    ...(ipv6 ? [disableIpv6Key('default')] : []),
    ...uplinks.map(forwardingKey),
    ...links.flatMap((link) => sysctlKeys(link, ipv6)),
  ];
  const settings: Record<string, string> = {};
  for (const key of keys) {
    const value = known.get(key) ?? readSysctl(key);
    if (value !== null) settings[key] = value;
  }
  return settings;
}

/**
 * Everything of ours in the kernel's network of this process. What belongs to others is not in the answer. Reads only.
 * Throws `permission_denied`, reason `net.not_permitted` (nft asks for CAP_NET_ADMIN even to list), and
 * `failed_precondition`, reason `net.tool_missing`.
 */
export async function observeNetwork(options: ObserveOptions): Promise<ObservedNetwork> {
  const runner = options.runner ?? createCommandRunner();
  const uplinks = options.uplinks.map(interfaceName);
  const listTable = (family: string) => runner.run('nft', ['-j', 'list', 'table', family, TABLE_NAME], '');
  const listings = Promise.all([
    runner.run('ip', ['-j', '-d', 'address', 'show'], ''),
    runner.run('ip', ['-j', '-4', 'rule', 'show'], ''),
    listTable('bridge'),
    listTable('inet'),
    runner.run('bridge', ['-j', 'fdb', 'show'], ''),
  ]);
  const known = await readSettingsMeanwhile();
  const [addresses, rules, bridge, inet, fdb] = await listings;
  const forwarding = parseForwarding(succeeded('bridge', 'listing the forwarding tables', fdb));
  const links = parseLinks(succeeded('ip', 'listing the interfaces', addresses)).map((link) => ({
    ...link,
    forwarding: forwarding.get(link.name) ?? [],
  }));
  const tables = parseTables({ bridge: tableListing(bridge), inet: tableListing(inet) });
  const switched = tables.elements.filter(({ set }) => set === 'switched').flatMap(({ key }) => key);
  return {
    links,
    ...tables,
    rules: parseRules(succeeded('ip', 'listing the routing rules', rules)),
    sysctls: readSettings(links, [...new Set([...uplinks, ...switched])], known),
  };
}

/** Whether an interface exists now; no program is run. */
export function linkExists(name: string): boolean {
  return existsSync(`${INTERFACES}/${interfaceName(name)}`);
}

/** The links among `names` that exist, in detail but for what the bridge forwards to them, with one `ip -batch`. Throws as `observeNetwork`. */
export async function observeLinks(names: readonly string[], runner: CommandRunner): Promise<ObservedLink[]> {
  const existing = names.filter(linkExists);
  if (existing.length === 0) return [];
  const script = existing.map((name) => `address show dev ${interfaceName(name)}\n`).join('');
  const result = await runner.run('ip', ['-j', '-d', '-force', '-batch', '-'], script);
  // An interface that went away meanwhile makes its line fail; the others still answer.
  if (result.exitCode !== 0 && !/does not exist/.test(result.stderr))
    succeeded('ip', 'showing interfaces', result);
  return parseLinks(result.stdout);
}
