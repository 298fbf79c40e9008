import { until } from '@mvm/node-host';
import { commonLines, diffLines, linesOf, type Naming, viewHost } from '../host/host-view.js';
import type { CrashHost } from './crash-host.js';
import { awaitGreeting, consoleEnd, type GuestSigns, guestSigns } from './guest-signs.js';
import {
  BYSTANDER,
  freshTarget,
  type InstanceTarget,
  instanceTarget,
  KEEPER,
  networkTarget,
  poolTarget,
  SPARE,
  type State,
  type Target,
} from './targets.js';

const GREETING_TIMEOUT_MS = 180_000;
const COUNTS_WITHIN = { timeoutMs: 180_000, everyMs: 20 };
/** How long a helper process of a hostd that was killed may still be seen after the next one serves. */
const SETTLE_MS = 5_000;

/** A guest that is watched over crashes: from where on its console is its own, and what it has said. */
interface WatchedGuest {
  offset: number;
  bootId: string | null;
  count: number;
}

/**
 * The targets of a run with what is known of them: what the host looks like for each of their states, and which boot of
 * which guest is to go on.
 */
export interface Fixture {
  readonly host: CrashHost;
  readonly keeper: InstanceTarget;
  readonly spare: InstanceTarget;
  readonly fresh: InstanceTarget;
  readonly bystander: InstanceTarget;
  readonly network: Target;
  readonly pool: Target;
  target(name: 'keeper' | 'spare' | 'fresh' | 'network' | 'pool'): Target;
  /** Take what the host shows now as right for the states that the targets are in. */
  learn(): Promise<void>;
  /** How the host differs from what is right for the targets' states; waits a little for what is just ending. */
  differences(): Promise<string[]>;
  /** A guest has been started from nothing: another boot is to be watched. */
  startsAnew(name: GuestName): Promise<void>;
  /** What was on the consoles may be gone, with the power. */
  consoleLost(): Promise<void>;
  /** Wait for the greeting of a running guest and its first count, if it has not greeted yet. */
  awaitGuest(name: GuestName): Promise<void>;
  /** Whether guests say enough on their consoles to be recognised. */
  readonly understandsGuests: boolean;
  /** What is wrong with a guest that is to run: another boot, or it does not count on. */
  guestProblems(name: GuestName): Promise<string[]>;
}

/** Whose guest is distinguished from another boot of the same instance. */
export type GuestName = 'keeper' | 'bystander';

export async function createFixture(host: CrashHost): Promise<Fixture> {
  const guests: Record<GuestName, WatchedGuest> = {
    keeper: { offset: 0, bootId: null, count: 0 },
    bystander: { offset: 0, bootId: null, count: 0 },
  };
  const addresses = { keeper: KEEPER, bystander: BYSTANDER } as const;
  let understands = true;
  const startsAnew = async (name: GuestName): Promise<void> => {
    guests[name] = { offset: await consoleEnd(host, addresses[name]), bootId: null, count: 0 };
  };
  const keeper = instanceTarget(host, 'keeper', KEEPER, () => startsAnew('keeper'));
  const spare = instanceTarget(host, 'spare', SPARE);
  const bystander = instanceTarget(host, 'bystander', BYSTANDER, () => startsAnew('bystander'));
  const network = networkTarget(host);
  const pool = poolTarget(host);
  const fresh = freshTarget(host);
  const all: readonly Target[] = [keeper, spare, fresh, bystander, network, pool];
  /** By kind of target and state: the lines of its own that a view has then. */
  const known = new Map<string, readonly string[]>();
  let common: readonly string[] | null = null;
  const keyOf = ({ name }: Target, state: State): string =>
    // What was never started looks like what does not run.
    `${name === 'network' || name === 'pool' ? name : 'instance'} ${state === 'new' ? 'idle' : state}`;

  async function look(): Promise<{ lines: string[]; states: Map<Target, State> }> {
    const states = new Map<Target, State>();
    for (const target of all) states.set(target, await target.state());
    return { lines: await viewHost(host), states };
  }

  /** The names of each target; a TAP that an absent one had may have become another's, with its addresses. */
  function namings(states: ReadonlyMap<Target, State>): Map<Target, Naming> {
    const present = all.filter((target) => states.get(target) !== 'absent');
    const taken = new Set(present.flatMap((target) => target.naming()?.names.map(([text]) => text) ?? []));
    const found = new Map<Target, Naming>();
    for (const target of all) {
      const naming = target.naming();
      if (naming === null) continue;
      const isPresent = present.includes(target);
      found.set(
        target,
        isPresent ? naming : { ...naming, names: naming.names.filter(([text]) => !taken.has(text)) },
      );
    }
    return found;
  }

  async function differencesNow(): Promise<string[]> {
    const { lines, states } = await look();
    const names = namings(states);
    const problems = diffLines(common ?? [], commonLines(lines, [...names.values()]));
    for (const target of all) {
      const state = states.get(target) as State;
      const naming = names.get(target);
      const wanted = known.get(keyOf(target, state));
      if (wanted === undefined) problems.push(`there is no reference for ${target.name} when it is ${state}`);
      else {
        const mine = naming === undefined ? [] : linesOf(lines, naming);
        problems.push(...diffLines(wanted, mine).map((line) => `${target.name}, ${state}: ${line}`));
      }
    }
    return problems;
  }

  const signs = async (name: GuestName): Promise<GuestSigns> =>
    await guestSigns(host, addresses[name], guests[name].offset);

  async function awaitGuest(name: GuestName): Promise<void> {
    const guest = guests[name];
    if (!understands || guest.bootId !== null) return;
    guest.bootId = await awaitGreeting(host, addresses[name], guest.offset, GREETING_TIMEOUT_MS);
    if (guest.bootId === null) understands = false;
    else await until('the first count', async () => (await signs(name)).count > 0, COUNTS_WITHIN);
  }

  async function guestProblems(name: GuestName): Promise<string[]> {
    const guest = guests[name];
    if (!understands || guest.bootId === null) return [];
    const now = await signs(name);
    if (now.bootId !== null && now.bootId !== guest.bootId) {
      return [`the guest of ${name} is another boot: ${now.bootId}, was ${guest.bootId}`];
    }
    const from = Math.max(guest.count, now.count);
    const counted = await until(
      'counting on',
      async () => {
        const { count } = await signs(name);
        return count > from ? count : null;
      },
      COUNTS_WITHIN,
    ).catch(() => null);
    if (counted === null) return [`the guest of ${name} does not count on from ${from}`];
    guest.count = counted;
    return [];
  }

  const fixture: Fixture = {
    host,
    keeper,
    spare,
    bystander,
    network,
    pool,
    fresh,
    target: (name) => ({ keeper, spare, fresh, network, pool })[name],
    learn: async () => {
      const { lines, states } = await look();
      const names = namings(states);
      common = commonLines(lines, [...names.values()]);
      for (const [target, state] of states) {
        const naming = names.get(target);
        const mine = naming === undefined ? [] : linesOf(lines, naming);
        const before = known.get(keyOf(target, state));
        // What two targets of a kind differ in would be overlooked or reported by chance.
        const odd = before === undefined ? [] : diffLines(before, mine);
        if (odd.length > 0) {
          throw new Error(
            `${target.name}, ${state}, is not as before though nothing crashed:\n${odd.join('\n')}`,
          );
        }
        known.set(keyOf(target, state), mine);
      }
    },
    differences: async () => {
      const deadline = performance.now() + SETTLE_MS;
      for (;;) {
        const problems = await differencesNow();
        if (problems.length === 0 || performance.now() > deadline) return problems;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    },
    startsAnew,
    consoleLost: async () => {
      for (const name of ['keeper', 'bystander'] as const) {
        if (await fixture[name].describe()) guests[name].offset = await consoleEnd(host, addresses[name]);
      }
    },
    awaitGuest,
    get understandsGuests() {
      return understands;
    },
    guestProblems,
  };
  return fixture;
}
