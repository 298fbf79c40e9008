import { createHash } from 'node:crypto';
import type { Selection } from '../events.js';
import type { Scenario } from './scenarios.js';

/**
 * What happens at a point.
 * `before`, `after`: hostd kills itself there. `during`: hostd is killed from outside after the step began. `vmm`: the VMM
 * is killed before the step, and hostd goes on. `hung`: the VMM is stopped before the step (SIGSTOP), as one that answers
 * nothing any more, and the instance is then stopped by force, or destroyed. `power-before`, `power-after`: hostd dies there and the host comes back up
 * with what had reached the disk. `both`: hostd dies after the step and the VMM with it, and the recovery dies once more
 * where it begins to clean up. `again`: hostd dies a second time, when its recovery has come to this step.
 */
export type Moment =
  | 'before'
  | 'during'
  | 'after'
  | 'vmm'
  | 'hung'
  | 'both'
  | 'power-before'
  | 'power-after'
  | 'again';

/** One case of the matrix. */
export interface CrashCase {
  readonly id: string;
  readonly scenario: Scenario;
  readonly step: string;
  readonly moment: Moment;
  /** Milliseconds from the step's beginning to the signal, for `during`. */
  readonly delayMs: number;
}

/** What was seen of a scenario when it ran through: its steps in order, and whether it journals its plan. */
export interface ObservedScenario {
  readonly scenario: Scenario;
  readonly steps: readonly string[];
  readonly journaled: boolean;
}

/** The points of an operation in their order: its steps, and what hostd does around them. Pure. */
export function pointsOf({ scenario, steps, journaled }: ObservedScenario): string[] {
  const audited = scenario.request !== null || scenario.name === 'reap';
  return [
    ...(journaled ? ['journal'] : []),
    ...steps,
    ...(journaled ? ['journal_end'] : []),
    ...(audited ? ['audit'] : []),
    ...(scenario.request === null ? [] : ['answer']),
  ];
}

function momentsAt(point: string, observed: ObservedScenario, hasPower: boolean): Moment[] {
  const { scenario, steps, journaled } = observed;
  const power: Moment[] = hasPower ? ['power-before', 'power-after'] : [];
  if (point === 'answer') return hasPower ? ['after', 'power-after'] : ['after'];
  if (!steps.includes(point)) return ['before', 'after', ...power];
  const touchesVm =
    ['keeper', 'spare', 'fresh'].includes(scenario.target) &&
    !['create', 'ensure_pool'].includes(scenario.operation) &&
    scenario.name !== 'reap';
  return [
    'before',
    'during',
    'after',
    ...(touchesVm ? (['vmm', 'hung', 'both'] as const) : []),
    ...power,
    ...(journaled && scenario.recovery !== 'none' ? (['again'] as const) : []),
  ];
}

/** Every case of the matrix on this host. Pure: equal for equal observations. */
export function enumerateCases(observed: readonly ObservedScenario[], hasPower: boolean): CrashCase[] {
  return observed.flatMap((each) =>
    pointsOf(each).flatMap((step) =>
      momentsAt(step, each, hasPower).map((moment) => {
        const id = `${each.scenario.name}/${step}/${moment}`;
        return { id, scenario: each.scenario, step, moment, delayMs: chance(id, 0) % 25 };
      }),
    ),
  );
}

/** A number that follows from a case and a seed, 0…2^32−1. */
function chance(id: string, seed: number): number {
  return createHash('sha256').update(`${seed} ${id}`).digest().readUInt32BE(0);
}

/** How many times rarer than the others a moment is drawn that costs a guest's boot afterwards. */
const RARER = 6;

/** Where a case stands in the draw, 0…1: the lowest is drawn first. */
function rank({ id, moment, scenario }: CrashCase, seed: number): number {
  const costly = moment.startsWith('power') || (scenario.target === 'keeper' && /vmm|hung|both/.test(moment));
  const uniform = (chance(id, seed) + 1) / 2 ** 32;
  return costly ? 1 - (1 - uniform) ** RARER : uniform;
}

/** What hostd does around the steps of an operation. */
const AROUND = ['journal', 'journal_end', 'audit', 'answer'];

/** The first that is drawn of each of the groups that `keyOf` tells. */
function firstOfEach(drawn: readonly CrashCase[], keyOf: (each: CrashCase) => string): CrashCase[] {
  const groups = new Map<string, CrashCase>();
  for (const each of drawn) if (!groups.has(keyOf(each))) groups.set(keyOf(each), each);
  return [...groups.values()];
}

/**
 * The cases that are run, in the order of the matrix. `each-step` takes every step of every operation once, one of the
 * points around the steps of each, and every moment at least once. Pure.
 */
export function selectCases(all: readonly CrashCase[], selection: Selection, seed: number): CrashCase[] {
  if (selection === 'all') return [...all];
  const drawn = all
    .map((each) => ({ each, rank: rank(each, seed) }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ each }) => each);
  if (selection !== 'each-step') {
    const chosen = new Set(drawn.slice(0, selection.sample));
    return all.filter((each) => chosen.has(each));
  }
  const steps = firstOfEach(
    drawn,
    ({ scenario, step }) => `${scenario.operation}/${AROUND.includes(step) ? 'around' : step}`,
  );
  const tried = new Set(steps.map(({ moment }) => moment));
  const others = firstOfEach(
    drawn.filter(({ moment }) => !tried.has(moment)),
    ({ moment }) => moment,
  );
  const chosen = new Set([...steps, ...others]);
  return all.filter((each) => chosen.has(each));
}

/**
 * An order in which little has to be made ready between cases: what ends where the next begins comes after it; what loses
 * every VM comes last. Pure.
 */
export function orderCases(cases: readonly CrashCase[]): CrashCase[] {
  const left = [...cases];
  const ordered: CrashCase[] = [];
  while (left.length > 0) {
    const last = ordered.at(-1);
    const cost = (next: CrashCase): number => {
      const fits = last !== undefined && last.scenario.target === next.scenario.target;
      return (
        (next.moment.startsWith('power') ? 8 : 0) +
        (/vmm|hung|both/.test(next.moment) && next.scenario.target === 'keeper' ? 4 : 0) +
        (fits && last.scenario.to === next.scenario.from ? 0 : fits ? 1 : 2)
      );
    };
    let best = 0;
    for (const [index, each] of left.entries()) {
      if (cost(each) < cost(left[best] as CrashCase)) best = index;
    }
    ordered.push(...left.splice(best, 1));
  }
  return ordered;
}

/** How far an operation had come: where it stands for its caller after recovery. */
export type Progress = 'from' | 'to' | 'either';

/**
 * What must follow from a crash at a point, with everything before it done and nothing after it. `within` a step, what it
 * does may be done or not. Pure.
 */
export function progressAt(
  observed: ObservedScenario,
  step: string,
  where: 'before' | 'within' | 'after',
): Progress {
  const points = pointsOf(observed);
  const { commit } = observed.scenario;
  const committed = commit === 'start' ? -1 : points.indexOf(commit);
  const at = points.indexOf(step);
  if (committed === at && where === 'within') return 'either';
  return at > committed || (at === committed && where === 'after') ? 'to' : 'from';
}
