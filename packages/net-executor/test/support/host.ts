import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import koffi from 'koffi';

/** Runs a command to its end and returns its stdout; throws with its stderr when it fails. */
export function sh(program: string, ...args: string[]): string {
  return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/** Runs `nft -f -` with a script. */
export function nft(script: string): void {
  execFileSync('nft', ['-f', '-'], { input: script, stdio: ['pipe', 'pipe', 'pipe'] });
}

// Source: unshare(2).
const CLONE_NEWNS = 0x00020000;
const CLONE_NEWNET = 0x40000000;
const unshare = koffi.load('libc.so.6').func('int unshare(int flags)');

/**
 * Moves this test file into network and mount namespaces of its own, which vanish with it: these tests flush rule sets and
 * remove interfaces. Only the main thread moves, and with it every child and every file below /proc that it opens.
 */
export function enterTestHost(): void {
  const before = readlinkSync('/proc/thread-self/ns/net');
  if (unshare(CLONE_NEWNS | CLONE_NEWNET) !== 0) {
    throw new Error('this tier needs root (CAP_SYS_ADMIN): cannot make namespaces of its own');
  }
  if (readlinkSync('/proc/thread-self/ns/net') === before)
    throw new Error('still in the namespace of the machine');
  sh('mount', '--make-rprivate', '/');
  sh('ip', 'link', 'set', 'lo', 'up');
  // Named namespaces live here, seen by nobody else.
  sh('mkdir', '-p', '/run/netns');
  sh('mount', '-t', 'tmpfs', 'tmpfs', '/run/netns');
}

/** Everything that a request could change, as text: links, addresses, routing rules, nft, forwarding. */
export function hostState(): string {
  const forwarding = readdirSync('/proc/sys/net/ipv4/conf').map(
    (name) =>
      `${name} forwarding=${readFileSync(`/proc/sys/net/ipv4/conf/${name}/forwarding`, 'utf8').trim()}`,
  );
  // Counters, handles and carrier flags change by themselves.
  const rules = sh('nft', '-s', 'list', 'ruleset');
  return [
    sh('ip', '-br', 'link'),
    sh('ip', '-br', 'address'),
    sh('ip', 'rule'),
    rules,
    ...forwarding.toSorted(),
  ].join('\n');
}

/** Names of this namespace's links that match. */
export function linkNames(pattern: RegExp): string[] {
  return readdirSync('/proc/sys/net/ipv4/conf').filter((name) => pattern.test(name));
}

/** Packets counted by a named counter of ours. */
export function counter(family: 'bridge' | 'inet', name: string): number {
  const text = sh('nft', 'list', 'counter', family, 'mvm', name);
  return Number(/packets (\d+)/.exec(text)?.[1] ?? Number.NaN);
}

interface LinkState {
  readonly ifname: string;
  readonly operstate: string;
  readonly flags: readonly string[];
  readonly linkinfo?: { readonly info_slave_data?: { readonly state?: string } };
}

function carries({ operstate, flags, linkinfo }: LinkState): boolean {
  const forwarding = (linkinfo?.info_slave_data?.state ?? 'forwarding') === 'forwarding';
  // UNKNOWN: a TAP that had its reader from the beginning.
  return (operstate === 'UP' || operstate === 'UNKNOWN') && flags.includes('LOWER_UP') && forwarding;
}

/**
 * Waits until these links carry packets. The kernel notices an opened TAP in a work queue of its own, and wakes bridge
 * port, bridge and transmit queue from there; until then frames are dropped.
 */
export async function waitForCarrier(names: readonly string[]): Promise<void> {
  let missing = names;
  for (let attempt = 0; attempt < 500; attempt += 1) {
    const links: LinkState[] = JSON.parse(sh('ip', '-j', '-d', 'link', 'show'));
    const ready = links.filter(carries).map(({ ifname }) => ifname);
    missing = names.filter((name) => !ready.includes(name));
    if (missing.length === 0) return;
    await new Promise((done) => setTimeout(done, 10));
  }
  throw new Error(`no carrier on ${missing.join(', ')}`);
}
