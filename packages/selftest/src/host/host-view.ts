import { readdir, readFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { listCgroups } from '@mvm/node-host';
import { runTool } from './run-tool.js';
import { findProcesses } from './vmm-processes.js';

/** Where a view looks. */
export interface ViewPlace {
  readonly dir: string;
  readonly stateDir: string;
  readonly runDir: string;
  readonly temporaryDir: string;
  readonly cgroupParent: string;
}

/**
 * Everything that hostd can leave on the host, one printable line each, sorted: links with their masters, addresses,
 * nftables objects and set elements, cgroups, processes, mounts, files of the run directory and of TMPDIR, and what is not
 * a plain record in the state directory (journals, temporary files, snapshots, trash). Counters, handles and pids are left
 * out, so that equal hosts have equal views. Reads only.
 */
export async function viewHost(place: ViewPlace): Promise<string[]> {
  const parts = await Promise.all([
    viewLinks(),
    viewFirewall(),
    listCgroups(place.cgroupParent).then((paths) => paths.map((path) => `cgroup ${path}`)),
    viewProcesses(place),
    viewMounts(place),
    filesBelow(place.runDir).then((files) =>
      files.filter((file) => file !== 'vm').map((file) => `run ${file}`),
    ),
    filesBelow(place.temporaryDir).then((files) => files.map((file) => `tmp ${file}`)),
    filesBelow(place.stateDir).then((files) => files.filter(isLitter).map((file) => `state ${file}`)),
  ]);
  return parts.flat().sort();
}

/** Whether a path in the state directory is no record, log, volume or image. Pure. */
export function isLitter(path: string): boolean {
  return /(^|\/)(op\.json|delta[^/]*|\.[^/]*|[^/]*\.next|[^/]*\.tmp[^/]*)(\/|$)/.test(path);
}

interface Link {
  readonly ifname: string;
  readonly master?: string;
  readonly flags: readonly string[];
  readonly addr_info?: readonly {
    readonly local?: string;
    readonly prefixlen?: number;
    readonly scope?: string;
  }[];
}

async function viewLinks(): Promise<string[]> {
  const links = JSON.parse(await runTool('ip', ['-j', 'addr'])) as Link[];
  return links.flatMap((link) => [
    `link ${link.ifname}${link.master === undefined ? '' : ` on ${link.master}`} ${link.flags.includes('UP') ? 'up' : 'down'}`,
    ...(link.addr_info ?? [])
      .filter((address) => address.scope !== 'link')
      .map((address) => `address ${link.ifname} ${address.local}/${address.prefixlen}`),
  ]);
}

type NftObject = Record<string, { readonly [field: string]: unknown }>;

async function viewFirewall(): Promise<string[]> {
  const { nftables } = JSON.parse(await runTool('nft', ['-j', 'list', 'ruleset'])) as {
    nftables: NftObject[];
  };
  return nftables.flatMap((object) => {
    const [[kind, value] = ['', {}]] = Object.entries(object);
    if (kind === 'metainfo') return [];
    const { elem, ...rest } = value;
    const name = `nft ${kind} ${String(value.table ?? '')} ${String(value.name ?? value.chain ?? '')}`;
    const elements = Array.isArray(elem) ? elem.filter((element) => !isMeter(element)) : [];
    return [
      `${name} ${JSON.stringify(withoutMoving(rest))}`,
      ...elements.map((element) => `${name} element ${JSON.stringify(withoutMoving(element))}`),
    ];
  });
}

/** Whether an element is one that the kernel adds itself when a packet comes: a rate's state, with its own end. */
function isMeter(element: unknown): boolean {
  const inner = (element as { elem?: object }).elem;
  return inner !== undefined && ('limit' in inner || 'expires' in inner);
}

/** A copy without what changes by itself: handles, counts, times. */
function withoutMoving(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutMoving);
  if (value === null || typeof value !== 'object') return value;
  const moving = new Set(['handle', 'packets', 'bytes', 'expires', 'used', 'last']);
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !moving.has(key))
      .map(([key, item]) => [key, withoutMoving(item)]),
  );
}

/** VMMs and helpers with a path of ours in their arguments; hostd itself and the caller's tools are not among them. */
async function viewProcesses({ dir }: ViewPlace): Promise<string[]> {
  const processes = await findProcesses(`${dir}/`);
  return processes
    .filter(({ argv }) => argv[0] !== undefined && !argv.includes('serve'))
    .map(({ argv }) => {
      const vm = argv.map((word) => /\/vm\/(tn\d+i\d+)\//.exec(word)?.[1]).find((name) => name !== undefined);
      return `process ${argv[0]?.split('/').at(-1)} ${vm ?? argv.slice(1).join(' ')}`;
    });
}

async function viewMounts({ dir }: ViewPlace): Promise<string[]> {
  const mounts = (await readFile('/proc/self/mounts', 'utf8')).split('\n');
  return mounts
    .map((line) => line.split(' '))
    .filter(([, point, type]) => point?.startsWith(dir) && type !== undefined)
    .map(([, point, type]) => `mount ${point} ${type}`);
}

async function filesBelow(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries.map((entry) => relative(root, join(entry.parentPath, entry.name)));
}

/** The names of one object in a view, with what stands for them when it is compared. */
export interface Naming {
  /** A line that has one of these is the object's: its TAP, addresses and ids. */
  readonly names: readonly (readonly [text: string, placeholder: string])[];
  /** Names of what the object belongs to; lines with only these are not the object's. */
  readonly also: readonly (readonly [text: string, placeholder: string])[];
}

/** The lines that name an object, with its names replaced, so that they can be compared with another one's. Pure. */
export function linesOf(view: readonly string[], { names, also }: Naming): string[] {
  return view
    .filter((line) => names.some(([text]) => mentions(line, text)))
    .map((line) =>
      [...names, ...also].reduce(
        (all, [text, placeholder]) => all.replaceAll(boundary(text), placeholder),
        line,
      ),
    )
    .sort();
}

/** The lines that name none of the objects. Pure. */
export function commonLines(view: readonly string[], namings: readonly Naming[]): string[] {
  return view.filter((line) => !namings.some(({ names }) => names.some(([text]) => mentions(line, text))));
}

function boundary(text: string): RegExp {
  return new RegExp(`(?<![A-Za-z0-9.])${text.replaceAll(/[.*+?^$(){}|[\]\\]/g, '\\$&')}(?![A-Za-z0-9])`, 'g');
}

function mentions(line: string, text: string): boolean {
  return boundary(text).test(line);
}

/** What two lists of lines differ in: `+ line` for one that is too much, `- line` for one that is missing. Pure. */
export function diffLines(expected: readonly string[], actual: readonly string[]): string[] {
  const count = (lines: readonly string[]): Map<string, number> => {
    const counts = new Map<string, number>();
    for (const line of lines) counts.set(line, (counts.get(line) ?? 0) + 1);
    return counts;
  };
  const wanted = count(expected);
  const found = count(actual);
  return [...new Set([...expected, ...actual])].sort().flatMap((line) => {
    const difference = (found.get(line) ?? 0) - (wanted.get(line) ?? 0);
    const sign = difference > 0 ? '+' : '-';
    return Array.from({ length: Math.abs(difference) }, () => `${sign} ${line}`);
  });
}
