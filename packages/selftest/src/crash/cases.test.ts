import { expect, test } from 'vitest';
import {
  enumerateCases,
  type Moment,
  type ObservedScenario,
  orderCases,
  pointsOf,
  progressAt,
  selectCases,
} from './cases.js';
import { afterVmmDeath, pointsOfSecondCrash } from './expectations.js';
import { SCENARIOS, type Scenario } from './scenarios.js';

function scenario(name: string): Scenario {
  const found = SCENARIOS.find((each) => each.name === name);
  if (found === undefined) throw new Error(`no scenario ${name}`);
  return found;
}

const sleep: ObservedScenario = {
  scenario: scenario('sleep'),
  steps: ['vm.pause', 'snapshot.write', 'snapshot.commit', 'vm.kill'],
  journaled: true,
};
const create: ObservedScenario = {
  scenario: scenario('create'),
  steps: ['instance.create'],
  journaled: false,
};
const reap: ObservedScenario = { scenario: scenario('reap'), steps: ['vm.kill'], journaled: true };
const start: ObservedScenario = {
  scenario: scenario('start'),
  steps: ['vm.launch', 'instance.commit_running'],
  journaled: true,
};
const reboot: ObservedScenario = {
  scenario: scenario('reboot'),
  steps: ['image.activate', 'vm.kill', 'vm.launch', 'instance.commit_running'],
  journaled: true,
};
const wake: ObservedScenario = {
  scenario: scenario('wake'),
  steps: ['vm.restore', 'snapshot.consume', 'vm.resume'],
  journaled: true,
};
const all = [sleep, wake, start, create, reap];

test('the points of an operation are its steps and what is around them', () => {
  expect(pointsOf(sleep)).toEqual(['journal', ...sleep.steps, 'journal_end', 'audit', 'answer']);
  expect(pointsOf(create)).toEqual(['instance.create', 'audit', 'answer']);
  expect(pointsOf(reap)).toEqual(['journal', 'vm.kill', 'journal_end', 'audit']);
});

test('every step has every moment that it can have, and ids are unique', () => {
  const cases = enumerateCases(all, true);
  expect(new Set(cases.map(({ id }) => id)).size).toBe(cases.length);
  const at = (operation: string, step: string): Moment[] =>
    cases
      .filter((each) => each.scenario.name === operation && each.step === step)
      .map(({ moment }) => moment);
  const everything: Moment[] = [
    'before',
    'during',
    'after',
    'vmm',
    'hung',
    'both',
    'power-before',
    'power-after',
    'again',
  ];
  expect(at('sleep', 'snapshot.write')).toEqual(everything);
  expect(at('create', 'instance.create')).toEqual([
    'before',
    'during',
    'after',
    'power-before',
    'power-after',
  ]);
  expect(at('sleep', 'journal')).toEqual(['before', 'after', 'power-before', 'power-after']);
  expect(at('sleep', 'answer')).toEqual(['after', 'power-after']);
  expect(enumerateCases(all, false).filter(({ moment }) => moment.startsWith('power'))).toEqual([]);
});

test('a sample takes every step, one point around each operation, and every moment; rarely what costs a boot', () => {
  const cases = enumerateCases(all, true);
  const around = ['journal', 'journal_end', 'audit', 'answer'];
  const pointOf = ({ scenario: { operation }, step }: (typeof cases)[number]): string =>
    `${operation}/${around.includes(step) ? 'around' : step}`;
  const points = new Set(cases.map(pointOf));
  const moments = new Set(cases.map(({ moment }) => moment));
  const seeds = [1, 2, 3, 4, 5, 6, 7, 8];
  const drawn = seeds.map((seed) => selectCases(cases, 'each-step', seed));
  for (const sample of drawn) {
    expect(new Set(sample.map(pointOf))).toEqual(points);
    expect(new Set(sample.map(({ moment }) => moment))).toEqual(moments);
    expect(sample.length).toBeLessThan(points.size + moments.size);
  }
  expect(selectCases(cases, 'each-step', 1)).toEqual(drawn[0]);
  expect(drawn[1]).not.toEqual(drawn[0]);
  expect(selectCases(cases, { sample: 3 }, 9)).toHaveLength(3);
  expect(selectCases(cases, 'all', 1)).toEqual(cases);
  const share = (set: typeof cases): number =>
    set.filter(({ moment }) => moment.startsWith('power')).length / set.length;
  expect(share(drawn.flat())).toBeLessThan(share(cases) / 2);
  // Over the seeds nothing is left out for good.
  const many = Array.from({ length: 400 }, (_, seed) => selectCases(cases, 'each-step', seed)).flat();
  expect(new Set(many.map(({ id }) => id)).size).toBe(cases.length);
});

test('the order keeps all cases, loses power last, and lets one end where the next begins', () => {
  const cases = enumerateCases(all, true);
  const ordered = orderCases(cases);
  expect(ordered.map(({ id }) => id).sort()).toEqual(cases.map(({ id }) => id).sort());
  const firstPower = ordered.findIndex(({ moment }) => moment.startsWith('power'));
  expect(ordered.slice(firstPower).every(({ moment }) => moment.startsWith('power'))).toBe(true);
});

test('a crash before the commit point leaves what was, one after it what is to be', () => {
  expect(progressAt(sleep, 'snapshot.write', 'after')).toBe('from');
  expect(progressAt(sleep, 'snapshot.commit', 'before')).toBe('from');
  expect(progressAt(sleep, 'snapshot.commit', 'within')).toBe('either');
  expect(progressAt(sleep, 'snapshot.commit', 'after')).toBe('to');
  expect(progressAt(sleep, 'vm.kill', 'before')).toBe('to');
  expect(progressAt(create, 'instance.create', 'before')).toBe('from');
  expect(progressAt(reap, 'journal', 'before')).toBe('to');
});

test('a second crash comes where the recovery of the first one is', () => {
  expect(pointsOfSecondCrash(reap, 'vm.kill')).toMatchObject({
    first: 'journal/after',
    second: 'vm.kill/before',
  });
  expect(pointsOfSecondCrash(start, 'vm.launch')).toMatchObject({
    first: 'instance.commit_running/before',
    second: 'vm.launch/before-undo',
    where: 'before',
  });
  expect(pointsOfSecondCrash(wake, 'vm.restore')).toMatchObject({
    first: 'snapshot.consume/before',
    second: 'vm.restore/before-undo',
  });
  expect(pointsOfSecondCrash(wake, 'vm.resume')).toMatchObject({
    first: 'snapshot.consume/after',
    second: 'vm.resume/before',
    where: 'after',
  });
});

test('what the death of the VMM may lead to', () => {
  expect(afterVmmDeath(sleep, 'snapshot.write')).toEqual(['idle']);
  expect(afterVmmDeath(sleep, 'snapshot.commit')).toEqual(['sleeping']);
  expect(afterVmmDeath(wake, 'snapshot.consume')).toEqual(['sleeping']);
  expect(afterVmmDeath(wake, 'vm.resume')).toEqual(['idle']);
  expect(afterVmmDeath(start, 'instance.commit_running')).toEqual(['idle']);
  expect(afterVmmDeath(reboot, 'vm.kill')).toContain('running');
  // The record still says running until hostd finds the new VM gone.
  expect(afterVmmDeath(reboot, 'instance.commit_running')).toEqual(['idle']);
});
