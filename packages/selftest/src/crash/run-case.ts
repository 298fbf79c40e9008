import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { isCodedError } from '@mvm/protocol';
import type { CaseResult } from '../events.js';
import { HostdEnded, type LogLine } from '../host/hostd-process.js';
import { killProcess } from '../host/vmm-processes.js';
import type { Bench } from './bench.js';
import { type CrashCase, type ObservedScenario, type Progress, pointsOf, progressAt } from './cases.js';
import type { Scenario } from './scenarios.js';
import { BYSTANDER, type InstanceSubject, type State } from './subjects.js';

const DEATH_TIMEOUT_MS = 120_000;
const REQUEST_TIMEOUT_MS = 120_000;

/** How a crash went: what must hold now. */
interface Crash {
  /** States that the subject may be in. */
  readonly allowed: readonly State[];
  /** Whether the subject's VM was ended by the crash itself. */
  readonly vmLost: boolean;
  readonly problems: readonly string[];
}

function fail(text: string): Crash {
  return { allowed: [], vmLost: false, problems: [text] };
}

function statesOf(progress: Progress, { from, to, operation }: Scenario): State[] {
  // A start that is undone leaves an instance prepared.
  const undone: State[] = from === 'new' && operation === 'start' ? ['new', 'idle'] : [from];
  return progress === 'either' ? [...undone, to] : progress === 'from' ? undone : [to];
}

/** Send the scenario's request, or kill the VMM; resolves to null when it was answered with success, else the error. */
async function act(bench: Bench, { request }: Scenario): Promise<unknown> {
  if (request === null) {
    const { pid } = (await bench.spare.describe()) ?? { pid: null };
    if (pid !== null) await killProcess(pid);
    return null;
  }
  try {
    await bench.world.client.request(request, { timeoutMs: REQUEST_TIMEOUT_MS });
    return null;
  } catch (error) {
    return error;
  }
}

/** Resolves to how hostd ended, or to `alive` when it has not within `ms`. */
async function endOf(bench: Bench, ms: number): Promise<string> {
  const controller = new AbortController();
  const timer = sleep(ms, 'alive', { signal: controller.signal }).catch(() => 'alive');
  const how = await Promise.race([bench.world.hostd().exited, timer]);
  controller.abort();
  return how;
}

/** Act with a failpoint set, and wait until hostd has died of it. */
async function dieAt(bench: Bench, scenario: Scenario, point: string): Promise<string | null> {
  await bench.world.setFailpoint(`${scenario.operation}/${point}`);
  const answered = act(bench, scenario);
  const how = await Promise.race([
    endOf(bench, DEATH_TIMEOUT_MS),
    answered.then(async (error) => {
      // A point after the answer's last step may still come.
      const ended = await endOf(bench, scenario.request === null ? DEATH_TIMEOUT_MS : 2_000);
      return ended === 'alive' ? `answered (${describe(error)})` : ended;
    }),
  ]);
  await bench.world.setFailpoint(null);
  await answered;
  return how === 'SIGKILL' ? null : `${point} was not reached: hostd is ${how}`;
}

function describe(error: unknown): string {
  if (error === null) return 'success';
  return isCodedError(error) ? `${error.reason}: ${error.message}` : String(error);
}

async function crashInside(bench: Bench, each: CrashCase, observed: ObservedScenario): Promise<Crash> {
  const { scenario, step, moment } = each;
  const where = moment === 'before' ? 'before' : 'after';
  const missed =
    step === 'answer' ? await dieAnswered(bench, scenario) : await dieAt(bench, scenario, `${step}/${where}`);
  if (missed !== null) return fail(missed);
  await bench.world.restart();
  return { allowed: statesOf(progressAt(observed, step, where), scenario), vmLost: false, problems: [] };
}

/** hostd is killed when its client has the answer. */
async function dieAnswered(bench: Bench, scenario: Scenario): Promise<string | null> {
  const error = await act(bench, scenario);
  bench.world.hostd().signal('SIGKILL');
  await bench.world.hostd().exited;
  return error === null ? null : `it failed without a crash: ${describe(error)}`;
}

/** The last step that hostd said it began or finished, since a place in its log. */
function lastStep(log: readonly LogLine[], since: number): { step: string; done: boolean } | null {
  let last: { step: string; done: boolean } | null = null;
  for (const line of log.slice(since)) {
    if (line.step === undefined || line.step === 'journal') continue;
    if (line.msg === 'step begins') last = { step: line.step, done: false };
    else if (line.msg === 'step done') last = { step: line.step, done: true };
  }
  return last;
}

async function crashDuring(bench: Bench, each: CrashCase, observed: ObservedScenario): Promise<Crash> {
  const { world } = bench;
  const { scenario, step, delayMs } = each;
  const hostd = world.hostd();
  const since = hostd.log.length;
  const begun = new Promise<void>((resolve) => {
    const watching = hostd.onStep((name) => {
      if (name !== step) return;
      watching.off();
      resolve();
    });
  });
  const answered = act(bench, scenario);
  const seen = await Promise.race([begun, answered.then(() => sleep(2_000, 'not begun'))]);
  if (seen === 'not begun') return fail(`${step} did not begin`);
  await sleep(delayMs);
  hostd.signal('SIGKILL');
  await hostd.exited;
  await answered;
  // The signal may have come some steps later than it was meant to.
  const reached = lastStep(hostd.log, since);
  await world.restart();
  const progress =
    reached === null ? 'either' : progressAt(observed, reached.step, reached.done ? 'after' : 'within');
  return { allowed: statesOf(progress, scenario), vmLost: false, problems: [] };
}

/** hostd stops before the step, loses the VMM, and goes on. */
async function crashVmm(bench: Bench, each: CrashCase, observed: ObservedScenario): Promise<Crash> {
  const { world } = bench;
  const { scenario, step } = each;
  const subject = bench.subject(scenario.subject) as InstanceSubject;
  const hostd = world.hostd();
  await world.setFailpoint(`${scenario.operation}/${step}/before/stop`);
  const answered = act(bench, scenario);
  await untilStopped(hostd.pid);
  await world.setFailpoint(null);
  const pid = await world.vmmPid(subject.tap() ?? '');
  if (pid !== null) await killProcess(pid);
  hostd.signal('SIGCONT');
  const error = await answered;
  if (pid === null) {
    const problems = error === null ? [] : [`it failed though nothing was killed: ${describe(error)}`];
    return { allowed: [scenario.to], vmLost: false, problems };
  }
  const allowed = afterVmmDeath(observed, step);
  // What hostd notices by itself, it cleans up by itself.
  const deadline = performance.now() + 30_000;
  while (!allowed.includes(await subject.state()) && performance.now() < deadline) await sleep(20);
  return { allowed, vmLost: true, problems: [] };
}

/** Where an operation may end whose VMM died before one of its steps. Pure. */
export function afterVmmDeath(observed: ObservedScenario, step: string): State[] {
  const { scenario } = observed;
  const points = pointsOf(observed);
  const committed = points.indexOf(scenario.commit);
  const at = points.indexOf(step);
  switch (scenario.operation) {
    case 'destroy':
      return ['absent'];
    case 'sleep':
      // With everything written, what is left to do needs no VMM.
      return [at < committed ? 'idle' : 'sleeping'];
    case 'wake':
      return [at <= committed ? 'sleeping' : 'idle'];
    default:
      return ['idle'];
  }
}

async function untilStopped(pid: number): Promise<void> {
  const deadline = performance.now() + DEATH_TIMEOUT_MS;
  for (;;) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
    if (/\) T /.test(stat)) return;
    if (performance.now() > deadline) throw new Error('hostd did not stop at its failpoint');
    await sleep(5);
  }
}

/** hostd and the VMM die together, and so does the recovery when it begins to clean up after the VM. */
async function crashBoth(bench: Bench, each: CrashCase, observed: ObservedScenario): Promise<Crash> {
  const { world } = bench;
  const { scenario, step } = each;
  const missed = await dieAt(bench, scenario, `${step}/after`);
  if (missed !== null) return fail(missed);
  const pid = await world.vmmPid((bench.subject(scenario.subject) as InstanceSubject).tap() ?? '');
  if (pid !== null) await killProcess(pid);
  await world.setFailpoint('reap/journal/before');
  await world.restart().catch((error: unknown) => {
    if (!(error instanceof HostdEnded) || error.how !== 'SIGKILL') throw error;
  });
  await world.setFailpoint(null);
  if ((await endOf(bench, 0)) !== 'alive') await world.restart();
  const states = statesOf(progressAt(observed, step, 'after'), scenario);
  const allowed = states.map((state) =>
    pid !== null && (state === 'running' || state === 'warm') ? 'idle' : state,
  );
  return { allowed, vmLost: pid !== null, problems: [] };
}

async function losePower(bench: Bench, each: CrashCase, observed: ObservedScenario): Promise<Crash> {
  const { world } = bench;
  const { scenario, step, moment } = each;
  const where = moment === 'power-before' ? 'before' : 'after';
  const missed =
    step === 'answer' ? await dieAnswered(bench, scenario) : await dieAt(bench, scenario, `${step}/${where}`);
  if (missed !== null) return fail(missed);
  await world.killVmms();
  await world.volume?.copyDisk();
  await world.reboot();
  await world.restart();
  await bench.consoleLost();
  const states = statesOf(progressAt(observed, step, where), scenario);
  const allowed = states.map((state) => (state === 'running' || state === 'warm' ? 'idle' : state));
  return { allowed, vmLost: true, problems: [] };
}

/** Which two points a second crash takes: the first in the operation, the second in its recovery. Pure. */
export function pointsOfSecondCrash(
  observed: ObservedScenario,
  step: string,
): { first: string; second: string; where: 'before' | 'after' } {
  const { recovery, commit } = observed.scenario;
  if (recovery === 'finish') return { first: 'journal/after', second: `${step}/before`, where: 'after' };
  const points = pointsOf(observed);
  if (recovery === 'commit' && points.indexOf(step) > points.indexOf(commit)) {
    return { first: `${commit}/after`, second: `${step}/before`, where: 'after' };
  }
  return { first: `${commit}/before`, second: `${step}/before-undo`, where: 'before' };
}

async function crashAgain(bench: Bench, each: CrashCase, observed: ObservedScenario): Promise<Crash> {
  const { world } = bench;
  const { scenario, step } = each;
  const { first, second, where } = pointsOfSecondCrash(observed, step);
  const missed = await dieAt(bench, scenario, first);
  if (missed !== null) return fail(missed);
  await world.setFailpoint(`${scenario.operation}/${second}`);
  const how = await world.restart().then(
    () => 'serving',
    (error: unknown) => (error instanceof HostdEnded ? error.how : Promise.reject(error)),
  );
  await world.setFailpoint(null);
  if (how !== 'SIGKILL') return fail(`${second} was not reached in recovery: hostd is ${how}`);
  await world.restart();
  const progress = progressAt(observed, scenario.recovery === 'finish' ? 'journal' : scenario.commit, where);
  return { allowed: statesOf(progress, scenario), vmLost: false, problems: [] };
}

async function crash(bench: Bench, each: CrashCase, observed: ObservedScenario): Promise<Crash> {
  switch (each.moment) {
    case 'before':
    case 'after':
      return await crashInside(bench, each, observed);
    case 'during':
      return await crashDuring(bench, each, observed);
    case 'vmm':
      return await crashVmm(bench, each, observed);
    case 'both':
      return await crashBoth(bench, each, observed);
    case 'power-before':
    case 'power-after':
      return await losePower(bench, each, observed);
    case 'again':
      return await crashAgain(bench, each, observed);
  }
}

/** Lines of a recovery that may not be there: errors, and a VM that is launched or restored by nobody's request. */
function logProblems(log: readonly LogLine[], vmLost: boolean): string[] {
  return log.flatMap((line) => {
    const launches = line.msg === 'step begins' && (line.step === 'vm.launch' || line.step === 'vm.restore');
    if (launches) return [`recovery ran ${line.step}`];
    if (line.level >= 50 && !vmLost) return [`hostd logged an error: ${JSON.stringify(line).slice(0, 600)}`];
    return [];
  });
}

/** The caller goes on: what is not done is asked for again, what is done is refused or done once more. */
async function goOn(bench: Bench, scenario: Scenario, state: State): Promise<string[]> {
  const subject = bench.subject(scenario.subject);
  if (state === scenario.from || (scenario.from === 'new' && state === 'idle')) {
    const error = await act(bench, scenario);
    if (error !== null) return [`the repeated request failed: ${describe(error)}`];
    return [];
  }
  if (state === scenario.to && scenario.request !== null) {
    const error = await act(bench, scenario);
    if (scenario.repeated === 'ok') return error === null ? [] : [`repeated, it failed: ${describe(error)}`];
    const refused =
      isCodedError(error) && ['failed_precondition', 'already_exists', 'not_found'].includes(error.code);
    return refused ? [] : [`repeated, it was not refused but: ${describe(error)}`];
  }
  const way = scenario.to === 'sleeping' || scenario.to === 'warm' ? 'running' : scenario.to;
  await subject.goTo(way === state ? 'running' : way);
  return [];
}

/** Why an instance may say that it does not run, after this case; null where it does not matter. Pure. */
export function reasonsAfter(
  { scenario, step, moment }: Pick<CrashCase, 'scenario' | 'step' | 'moment'>,
  state: State,
  vmLost: boolean,
): readonly string[] | null {
  const isInstance = ['keeper', 'spare', 'fresh'].includes(scenario.subject);
  if (state !== 'idle' || !isInstance || scenario.operation === 'create') return null;
  if (scenario.operation === 'start') {
    const neverBegan = step === 'journal' && moment.endsWith('before');
    if (vmLost) return neverBegan ? null : ['start_failed', 'lost', 'exited'];
    return neverBegan ? null : ['start_failed'];
  }
  if (scenario.operation === 'reap') return ['exited', 'lost'];
  if (scenario.operation === 'stop') return vmLost ? ['requested', 'lost', 'exited'] : ['requested'];
  return ['lost', 'exited'];
}

function outcomeOf({ from, to }: Scenario, state: State, vmLost: boolean): string {
  if (state === to) return 'complete';
  if (state === from) return 'undone';
  return vmLost && state === 'idle' ? 'stopped, VM lost' : state;
}

/**
 * Make everything ready, crash, restart, judge, and go on as a caller would. Never throws for what hostd does wrong: the
 * result says it.
 */
export async function runCase(
  bench: Bench,
  each: CrashCase,
  observed: ObservedScenario,
): Promise<CaseResult> {
  const began = performance.now();
  const { scenario, id, step, moment } = each;
  const problems: string[] = [];
  let outcome = '';
  try {
    const subject = bench.subject(scenario.subject);
    if ((await endOf(bench, 0)) !== 'alive') await bench.world.restart();
    await bench.bystander.goTo('running');
    if (scenario.subject === 'keeper') {
      await bench.keeper.goTo('running');
      await bench.awaitGuest('keeper');
    }
    await subject.goTo(scenario.from);
    const bystanderBefore = await bench.bystander.describe();
    const keeperBefore = await bench.keeper.describe();
    const logBefore = bench.world.hostd().log.length;
    const hostdBefore = bench.world.hostd();

    const { allowed, vmLost, problems: crashProblems } = await crash(bench, each, observed);
    problems.push(...crashProblems);
    if (crashProblems.length === 0) {
      const hostd = bench.world.hostd();
      if (hostd !== hostdBefore) problems.push(...logProblems(hostd.log, false));
      else
        problems.push(
          ...logProblems(
            hostd.log.slice(logBefore).filter(({ level }) => level >= 50),
            vmLost,
          ),
        );
      const state = await subject.state();
      outcome = outcomeOf(scenario, state, vmLost);
      if (!allowed.includes(state)) problems.push(`it is ${state}, and must be ${allowed.join(' or ')}`);
      const reasons = reasonsAfter(each, state, vmLost);
      if (reasons !== null) {
        const facts = await (subject as InstanceSubject).describe();
        if (!reasons.includes(facts?.stopReason ?? 'none')) {
          problems.push(`its stop reason is ${facts?.stopReason}, and must be ${reasons.join(' or ')}`);
        }
      }
      problems.push(...(await bench.differences()));
      const power = moment.startsWith('power');
      if (!power) {
        const bystander = await bench.bystander.describe();
        if (bystander?.status !== 'running' || bystander.pid !== bystanderBefore?.pid) {
          problems.push(`${BYSTANDER.instance_id} of another tenant noticed: ${JSON.stringify(bystander)}`);
        }
        const keeper = await bench.keeper.describe();
        const untouched = scenario.subject !== 'keeper' || (!vmLost && state === scenario.from);
        if (untouched && (keeper?.pid !== keeperBefore?.pid || keeper?.status !== keeperBefore?.status)) {
          problems.push(`the keeper was ${JSON.stringify(keeperBefore)} and is ${JSON.stringify(keeper)}`);
        }
      }
      if (scenario.subject === 'keeper' && state === 'running' && problems.length === 0) {
        problems.push(...(await bench.guestProblems('keeper')));
      }
      problems.push(...(await goOn(bench, scenario, state)));
      problems.push(...(await bench.differences()).map((line) => `afterwards: ${line}`));
      const sleptOn = scenario.subject === 'keeper' && state === 'sleeping';
      if (sleptOn && problems.length === 0) {
        await bench.keeper.goTo('running');
        problems.push(...(await bench.guestProblems('keeper')));
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
