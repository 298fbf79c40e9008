import { commonLines, diffLines, linesOf, type Naming, viewHost } from '../host/host-view.js';
import { awaitGreeting, consoleEnd, type GuestSigns, guestSigns } from './guest-signs.js';
import {
  BYSTANDER,
  freshSubject,
  type InstanceSubject,
  instanceSubject,
  KEEPER,
  networkSubject,
  poolSubject,
  SPARE,
  type State,
  type Subject,
} from './subjects.js';
import { until, type World } from './world.js';

const GREETING_TIMEOUT_MS = 180_000;
const COUNT_TIMEOUT_MS = 180_000;
/** How long a helper process of a hostd that was killed may still be seen after the next one serves. */
const SETTLE_MS = 5_000;

/** A guest that is watched over crashes: from where on its console is its own, and what it has said. */
interface WatchedGuest {
  offset: number;
  bootId: string | null;
  count: number;
}

/**
 * The subjects of a run with what is known of them: what the host looks like for each of their states, and which boot of
 * which guest is to go on.
 */
export interface Bench {
  readonly world: World;
  readonly keeper: InstanceSubject;
  readonly spare: InstanceSubject;
  readonly fresh: InstanceSubject;
  readonly bystander: InstanceSubject;
  readonly network: Subject;
  readonly pool: Subject;
  subject(name: 'keeper' | 'spare' | 'fresh' | 'network' | 'pool'): Subject;
  /** Take what the host shows now as right for the states that the subjects are in. */
  learn(): Promise<void>;
  /** How the host differs from what is right for the subjects' states; waits a little for what is just ending. */
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

/** Whose guest is told apart from another boot of the same instance. */
export type GuestName = 'keeper' | 'bystander';

export async function createBench(world: World): Promise<Bench> {
  const guests: Record<GuestName, WatchedGuest> = {
    keeper: { offset: 0, bootId: null, count: 0 },
    bystander: { offset: 0, bootId: null, count: 0 },
  };
  const addresses = { keeper: KEEPER, bystander: BYSTANDER } as const;
  let understands = true;
  const startsAnew = async (name: GuestName): Promise<void> => {
    guests[name] = { offset: await consoleEnd(world, addresses[name]), bootId: null, count: 0 };
  };
  const keeper = instanceSubject(world, 'keeper', KEEPER, () => startsAnew('keeper'));
  const spare = instanceSubject(world, 'spare', SPARE);
  const bystander = instanceSubject(world, 'bystander', BYSTANDER, () => startsAnew('bystander'));
  const network = networkSubject(world);
  const pool = poolSubject(world);
  const fresh = freshSubject(world);
  const all: readonly Subject[] = [keeper, spare, fresh, bystander, network, pool];
  /** By kind of subject and state: the lines of its own that a view has then. */
  const known = new Map<string, readonly string[]>();
  let common: readonly string[] | null = null;
  const keyOf = ({ name }: Subject, state: State): string =>
    // What was never started looks like what does not run.
    `${name === 'network' || name === 'pool' ? name : 'instance'} ${state === 'new' ? 'idle' : state}`;

  async function look(): Promise<{ lines: string[]; states: Map<Subject, State> }> {
    const states = new Map<Subject, State>();
    for (const subject of all) states.set(subject, await subject.state());
    return { lines: await viewHost(world), states };
  }

  /** The names of each subject; a TAP that an absent one had may have become another's, with its addresses. */
  function namings(states: ReadonlyMap<Subject, State>): Map<Subject, Naming> {
    const present = all.filter((subject) => states.get(subject) !== 'absent');
    const taken = new Set(present.flatMap((subject) => subject.naming()?.names.map(([text]) => text) ?? []));
    const found = new Map<Subject, Naming>();
    for (const subject of all) {
      const naming = subject.naming();
      if (naming === null) continue;
      const isPresent = present.includes(subject);
      found.set(
        subject,
        isPresent ? naming : { ...naming, names: naming.names.filter(([text]) => !taken.has(text)) },
      );
    }
    return found;
  }

  async function differencesNow(): Promise<string[]> {
    const { lines, states } = await look();
    const names = namings(states);
    const problems = diffLines(common ?? [], commonLines(lines, [...names.values()]));
    for (const subject of all) {
      const state = states.get(subject) as State;
      const naming = names.get(subject);
      const wanted = known.get(keyOf(subject, state));
      if (wanted === undefined)
        problems.push(`nobody knows what ${subject.name} looks like when it is ${state}`);
      else {
        const mine = naming === undefined ? [] : linesOf(lines, naming);
        problems.push(...diffLines(wanted, mine).map((line) => `${subject.name}, ${state}: ${line}`));
      }
    }
    return problems;
  }

  const signs = async (name: GuestName): Promise<GuestSigns> =>
    await guestSigns(world, addresses[name], guests[name].offset);

  async function awaitGuest(name: GuestName): Promise<void> {
    const guest = guests[name];
    if (!understands || guest.bootId !== null) return;
    guest.bootId = await awaitGreeting(world, addresses[name], guest.offset, GREETING_TIMEOUT_MS);
    if (guest.bootId === null) understands = false;
    else await until('the first count', async () => (await signs(name)).count > 0, COUNT_TIMEOUT_MS);
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
      COUNT_TIMEOUT_MS,
    ).catch(() => null);
    if (counted === null) return [`the guest of ${name} does not count on from ${from}`];
    guest.count = counted;
    return [];
  }

  const bench: Bench = {
    world,
    keeper,
    spare,
    bystander,
    network,
    pool,
    fresh,
    subject: (name) => ({ keeper, spare, fresh, network, pool })[name],
    learn: async () => {
      const { lines, states } = await look();
      const names = namings(states);
      common = commonLines(lines, [...names.values()]);
      for (const [subject, state] of states) {
        const naming = names.get(subject);
        const mine = naming === undefined ? [] : linesOf(lines, naming);
        const before = known.get(keyOf(subject, state));
        // What two subjects of a kind differ in would be overlooked or reported by chance.
        const odd = before === undefined ? [] : diffLines(before, mine);
        if (odd.length > 0) {
          throw new Error(
            `${subject.name}, ${state}, is not as before though nothing crashed:\n${odd.join('\n')}`,
          );
        }
        known.set(keyOf(subject, state), mine);
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
        if (await bench[name].describe()) guests[name].offset = await consoleEnd(world, addresses[name]);
      }
    },
    awaitGuest,
    get understandsGuests() {
      return understands;
    },
    guestProblems,
  };
  return bench;
}
