import { isCodedError } from '@mvm/protocol';
import type { CaseResult } from '../events.js';
import type { HostdProcess, LogLine } from '../host/hostd-process.js';
import type { CrashCase, ObservedScenario } from './cases.js';
import { outcomeOf, reasonsAfter } from './expectations.js';
import type { Fixture } from './fixture.js';
import type { Scenario } from './scenarios.js';
import { BYSTANDER, type InstanceFacts, type InstanceTarget, type State } from './targets.js';
import { act, type Crash, crash, describe, endOf } from './trigger.js';

/**
 * Lines of a recovery that may not be there: errors, and a VM that is launched or restored without a request. Only a
 * reboot is finished by launching one.
 */
function logProblems(log: readonly LogLine[], vmLost: boolean, { operation }: Scenario): string[] {
  const unwanted = operation === 'reboot' ? ['vm.restore'] : ['vm.launch', 'vm.restore'];
  return log.flatMap((line) => {
    const launches = line.msg === 'step begins' && unwanted.includes(line.step ?? '');
    if (launches) return [`recovery ran ${line.step}`];
    if (line.level >= 50 && !vmLost) return [`hostd logged an error: ${JSON.stringify(line).slice(0, 600)}`];
    return [];
  });
}

/** The caller goes on: what is not done is asked for again, what is done is refused or done once more. */
async function goOn(fixture: Fixture, scenario: Scenario, state: State): Promise<string[]> {
  const target = fixture.target(scenario.target);
  if (state === scenario.from || (scenario.from === 'new' && state === 'idle')) {
    const error = await act(fixture, scenario);
    if (error !== null) return [`the repeated request failed: ${describe(error)}`];
    return [];
  }
  if (state === scenario.to && scenario.request !== null) {
    const error = await act(fixture, scenario);
    if (scenario.repeated === 'ok') return error === null ? [] : [`repeated, it failed: ${describe(error)}`];
    const refused =
      isCodedError(error) && ['failed_precondition', 'already_exists', 'not_found'].includes(error.code);
    return refused ? [] : [`repeated, it was not refused but: ${describe(error)}`];
  }
  const way = scenario.to === 'sleeping' || scenario.to === 'warm' ? 'running' : scenario.to;
  await target.goTo(way === state ? 'running' : way);
  return [];
}

/** What was seen before the crash, to be found again after it. */
interface Before {
  readonly bystander: InstanceFacts | null;
  readonly keeper: InstanceFacts | null;
  readonly hostd: HostdProcess;
  /** How much of its log there was. */
  readonly logLength: number;
}

async function makeReady(fixture: Fixture, { scenario }: CrashCase): Promise<Before> {
  if ((await endOf(fixture, 0)) !== 'alive') await fixture.host.restart();
  await fixture.bystander.goTo('running');
  if (scenario.target === 'keeper') {
    await fixture.keeper.goTo('running');
    await fixture.awaitGuest('keeper');
  }
  await fixture.target(scenario.target).goTo(scenario.from);
  const hostd = fixture.host.hostd();
  return {
    bystander: await fixture.bystander.describe(),
    keeper: await fixture.keeper.describe(),
    hostd,
    logLength: hostd.log.length,
  };
}

/** What is wrong with the target, with the host, and with those that should have noticed nothing. */
async function check(
  fixture: Fixture,
  each: CrashCase,
  { allowed, vmLost }: Crash,
  state: State,
  before: Before,
): Promise<string[]> {
  const { scenario } = each;
  const problems: string[] = [];
  const hostd = fixture.host.hostd();
  if (hostd !== before.hostd) problems.push(...logProblems(hostd.log, false, scenario));
  else {
    // The same hostd went on: its log holds the operation itself as well.
    const errors = hostd.log.slice(before.logLength).filter(({ level }) => level >= 50);
    problems.push(...logProblems(errors, vmLost, scenario));
  }
  if (!allowed.includes(state)) problems.push(`it is ${state}, and must be ${allowed.join(' or ')}`);
  const reasons = reasonsAfter(each, state, vmLost);
  if (reasons !== null) {
    const facts = await (fixture.target(scenario.target) as InstanceTarget).describe();
    if (!reasons.includes(facts?.stopReason ?? 'none')) {
      problems.push(`its stop reason is ${facts?.stopReason}, and must be ${reasons.join(' or ')}`);
    }
  }
  problems.push(...(await fixture.differences()));
  if (!each.moment.startsWith('power')) {
    const untouched = scenario.target !== 'keeper' || (!vmLost && state === scenario.from);
    problems.push(...(await othersNoticed(fixture, before, untouched)));
  }
  if (scenario.target === 'keeper' && state === 'running' && problems.length === 0) {
    problems.push(...(await fixture.guestProblems('keeper')));
  }
  return problems;
}

async function othersNoticed(fixture: Fixture, before: Before, keeperUntouched: boolean): Promise<string[]> {
  const problems: string[] = [];
  const bystander = await fixture.bystander.describe();
  if (bystander?.status !== 'running' || bystander.pid !== before.bystander?.pid) {
    problems.push(`${BYSTANDER.instance_id} of another tenant noticed: ${JSON.stringify(bystander)}`);
  }
  const keeper = await fixture.keeper.describe();
  const changed = keeper?.pid !== before.keeper?.pid || keeper?.status !== before.keeper?.status;
  if (keeperUntouched && changed) {
    problems.push(`the keeper was ${JSON.stringify(before.keeper)} and is ${JSON.stringify(keeper)}`);
  }
  return problems;
}

/**
 * Make everything ready, crash, restart, check, and go on as a caller would. Never throws for what hostd does wrong: the
 * result says it.
 */
export async function runCase(
  fixture: Fixture,
  each: CrashCase,
  observed: ObservedScenario,
): Promise<CaseResult> {
  const began = performance.now();
  const { scenario, id, step, moment } = each;
  const problems: string[] = [];
  let outcome = '';
  try {
    const before = await makeReady(fixture, each);
    const crashed = await crash(fixture, each, observed);
    problems.push(...crashed.problems);
    if (problems.length === 0) {
      const state = await fixture.target(scenario.target).state();
      outcome = outcomeOf(scenario, state, crashed.vmLost);
      problems.push(...(await check(fixture, each, crashed, state, before)));
      problems.push(...(await goOn(fixture, scenario, state)));
      problems.push(...(await fixture.differences()).map((line) => `afterwards: ${line}`));
      if (scenario.target === 'keeper' && state === 'sleeping' && problems.length === 0) {
        await fixture.keeper.goTo('running');
        problems.push(...(await fixture.guestProblems('keeper')));
      }
    }
  } catch (error) {
    problems.push(error instanceof Error ? error.message : String(error));
  }
  return {
    id,
    operation: scenario.name,
    step,
    moment,
    outcome: problems.length === 0 ? outcome : '',
    problems,
    ms: Math.round(performance.now() - began),
  };
}
