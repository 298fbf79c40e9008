import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '@mvm/node-host';
import { isCodedError } from '@mvm/protocol';
import { HostdEnded, type LogLine } from '../host/hostd-process.js';
import { killProcess } from '../host/vmm-processes.js';
import { type CrashCase, type ObservedScenario, progressAt } from './cases.js';
import { afterLoss, afterVmmDeath, pointsOfSecondCrash, statesOf } from './expectations.js';
import type { Fixture } from './fixture.js';
import type { Scenario } from './scenarios.js';
import type { InstanceTarget, State } from './targets.js';

const DEATH_TIMEOUT_MS = 120_000;
const REQUEST_TIMEOUT_MS = 120_000;
/** A forced stop waits 10 s for what is under way, and then as long as that takes to clean up. */
const HUNG_BOUND_MS = 45_000;

/** How a crash went: what must hold now. */
export interface Crash {
  /** States that the target may be in. */
  readonly allowed: readonly State[];
  /** Whether the target's VM was ended by the crash itself. */
  readonly vmLost: boolean;
  readonly problems: readonly string[];
}

function fail(text: string): Crash {
  return { allowed: [], vmLost: false, problems: [text] };
}

/** Send the scenario's request, or kill the VMM; resolves to null when it was answered with success, else the error. */
export async function act(fixture: Fixture, { request }: Scenario): Promise<unknown> {
  if (request === null) {
    const { pid } = (await fixture.spare.describe()) ?? { pid: null };
    if (pid !== null) await killProcess(pid);
    return null;
  }
  try {
    await fixture.host.client.request(request, { timeoutMs: REQUEST_TIMEOUT_MS });
    return null;
  } catch (error) {
    return error;
  }
}

/** Resolves to how hostd ended, or to `alive` when it has not within `ms`. */
export async function endOf(fixture: Fixture, ms: number): Promise<string> {
  const controller = new AbortController();
  const timer = sleep(ms, 'alive', { signal: controller.signal }).catch(() => 'alive');
  const how = await Promise.race([fixture.host.hostd().exited, timer]);
  controller.abort();
  return how;
}

/** Act with a failpoint set, and wait until hostd has died of it. */
async function dieAt(fixture: Fixture, scenario: Scenario, point: string): Promise<string | null> {
  const operation = scenario.operationOf?.[point.split('/')[0] ?? ''] ?? scenario.operation;
  await fixture.host.setFailpoint(`${operation}/${point}`);
  const answered = act(fixture, scenario);
  const how = await Promise.race([
    endOf(fixture, DEATH_TIMEOUT_MS),
    answered.then(async (error) => {
      // A point after the answer's last step may still come.
      const ended = await endOf(fixture, scenario.request === null ? DEATH_TIMEOUT_MS : 2_000);
      return ended === 'alive' ? `answered (${describe(error)})` : ended;
    }),
  ]);
  await fixture.host.setFailpoint(null);
  await answered;
  return how === 'SIGKILL' ? null : `${point} was not reached: hostd is ${how}`;
}

export function describe(error: unknown): string {
  if (error === null) return 'success';
  return isCodedError(error) ? `${error.reason}: ${error.message}` : String(error);
}

async function crashInside(fixture: Fixture, each: CrashCase, observed: ObservedScenario): Promise<Crash> {
  const { scenario, step, moment } = each;
  const where = moment === 'before' ? 'before' : 'after';
  const missed =
    step === 'answer'
      ? await dieAnswered(fixture, scenario)
      : await dieAt(fixture, scenario, `${step}/${where}`);
  if (missed !== null) return fail(missed);
  await fixture.host.restart();
  return { allowed: statesOf(progressAt(observed, step, where), scenario), vmLost: false, problems: [] };
}

/** hostd is killed when its client has the answer. */
async function dieAnswered(fixture: Fixture, scenario: Scenario): Promise<string | null> {
  const error = await act(fixture, scenario);
  fixture.host.hostd().signal('SIGKILL');
  await fixture.host.hostd().exited;
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

async function crashDuring(fixture: Fixture, each: CrashCase, observed: ObservedScenario): Promise<Crash> {
  const { host } = fixture;
  const { scenario, step, delayMs } = each;
  const hostd = host.hostd();
  const since = hostd.log.length;
  const begun = new Promise<void>((resolve) => {
    const watching = hostd.onStep((name) => {
      if (name !== step) return;
      watching.off();
      resolve();
    });
  });
  const answered = act(fixture, scenario);
  const seen = await Promise.race([begun, answered.then(() => sleep(2_000, 'not begun'))]);
  if (seen === 'not begun') return fail(`${step} did not begin`);
  await sleep(delayMs);
  hostd.signal('SIGKILL');
  await hostd.exited;
  await answered;
  // The signal may have come some steps later than it was meant to.
  const reached = lastStep(hostd.log, since);
  await host.restart();
  const progress =
    reached === null ? 'either' : progressAt(observed, reached.step, reached.done ? 'after' : 'within');
  return { allowed: statesOf(progress, scenario), vmLost: false, problems: [] };
}

/** Begin the operation, and stop hostd (SIGSTOP) before the step; `pid` is that of the VMM, null without one. */
async function stopBefore(fixture: Fixture, { scenario, step }: CrashCase) {
  const { host } = fixture;
  const target = fixture.target(scenario.target) as InstanceTarget;
  const hostd = host.hostd();
  await host.setFailpoint(`${scenario.operation}/${step}/before/stop`);
  const answered = act(fixture, scenario);
  await untilStopped(hostd.pid);
  await host.setFailpoint(null);
  const pid = await host.vmmPid(target.tap() ?? '');
  return { target, pid, answered, resume: () => hostd.signal('SIGCONT') };
}

/** hostd stops before the step, loses the VMM, and goes on. */
async function crashVmm(fixture: Fixture, each: CrashCase, observed: ObservedScenario): Promise<Crash> {
  const { scenario, step } = each;
  const { target, pid, answered, resume } = await stopBefore(fixture, each);
  if (pid !== null) await killProcess(pid);
  resume();
  const error = await answered;
  if (pid === null) {
    const problems = error === null ? [] : [`it failed though nothing was killed: ${describe(error)}`];
    return { allowed: [scenario.to], vmLost: false, problems };
  }
  const allowed = afterVmmDeath(observed, step);
  // What hostd notices by itself, it cleans up by itself.
  const deadline = performance.now() + 30_000;
  while (!allowed.includes(await target.state()) && performance.now() < deadline) await sleep(20);
  return { allowed, vmLost: true, problems: [] };
}

/** Resolves to null when it is answered with success, else to the error. */
async function stopByForce({ host }: Fixture, { address }: InstanceTarget): Promise<unknown> {
  return await host.client
    .request({ type: 'StopInstance', ...address, force: true }, { timeoutMs: REQUEST_TIMEOUT_MS })
    .then(() => null)
    .catch((error: unknown) => error);
}

/**
 * hostd stops before the step, the VMM stops answering, and hostd goes on. A stop by force (for a destroy: that itself) must
 * do without the VMM, in bounded time.
 */
async function crashHung(fixture: Fixture, each: CrashCase): Promise<Crash> {
  const { host } = fixture;
  const { scenario } = each;
  const { target, pid, answered, resume } = await stopBefore(fixture, each);
  if (pid !== null) process.kill(pid, 'SIGSTOP');
  resume();
  if (pid === null) {
    const error = await answered;
    const problems = error === null ? [] : [`it failed though nothing hung: ${describe(error)}`];
    return { allowed: [scenario.to], vmLost: false, problems };
  }
  const began = performance.now();
  const problems: string[] = [];
  if (scenario.operation !== 'destroy') {
    const stopped = await stopByForce(fixture, target);
    // What was under way may have come to its end first.
    if (stopped !== null && !describe(stopped).startsWith('instance.invalid_transition')) {
      problems.push(`a forced stop failed: ${describe(stopped)}`);
    }
  }
  await answered;
  const ms = performance.now() - began;
  if (ms > HUNG_BOUND_MS) problems.push(`it took ${Math.round(ms)} ms to end a VMM that hangs`);
  if ((await host.vmmPid(target.tap() ?? '')) !== null) problems.push('the VMM that hangs still lives');
  return { allowed: [scenario.operation === 'destroy' ? 'absent' : 'idle'], vmLost: true, problems };
}

async function untilStopped(pid: number): Promise<void> {
  const stopped = async (): Promise<boolean> => /\) T /.test(await readFile(`/proc/${pid}/stat`, 'utf8'));
  await until('hostd stops at its failpoint', stopped, { timeoutMs: DEATH_TIMEOUT_MS });
}

/** hostd and the VMM die together, and so does the recovery when it begins to clean up after the VM. */
async function crashBoth(fixture: Fixture, each: CrashCase, observed: ObservedScenario): Promise<Crash> {
  const { host } = fixture;
  const { scenario, step } = each;
  const missed = await dieAt(fixture, scenario, `${step}/after`);
  if (missed !== null) return fail(missed);
  const pid = await host.vmmPid((fixture.target(scenario.target) as InstanceTarget).tap() ?? '');
  if (pid !== null) await killProcess(pid);
  await host.setFailpoint('reap/journal/before');
  await host.restart().catch((error: unknown) => {
    if (!(error instanceof HostdEnded) || error.how !== 'SIGKILL') throw error;
  });
  await host.setFailpoint(null);
  if ((await endOf(fixture, 0)) !== 'alive') await host.restart();
  const states = statesOf(progressAt(observed, step, 'after'), scenario);
  const allowed = pid === null ? states : afterLoss(states, scenario);
  return { allowed, vmLost: pid !== null, problems: [] };
}

async function losePower(fixture: Fixture, each: CrashCase, observed: ObservedScenario): Promise<Crash> {
  const { host } = fixture;
  const { scenario, step, moment } = each;
  const where = moment === 'power-before' ? 'before' : 'after';
  const missed =
    step === 'answer'
      ? await dieAnswered(fixture, scenario)
      : await dieAt(fixture, scenario, `${step}/${where}`);
  if (missed !== null) return fail(missed);
  await host.killVmms();
  await host.volume?.copyDisk();
  await host.reboot();
  await host.restart();
  await fixture.consoleLost();
  const states = statesOf(progressAt(observed, step, where), scenario);
  return { allowed: afterLoss(states, scenario), vmLost: true, problems: [] };
}

async function crashAgain(fixture: Fixture, each: CrashCase, observed: ObservedScenario): Promise<Crash> {
  const { host } = fixture;
  const { scenario, step } = each;
  const { first, second, where } = pointsOfSecondCrash(observed, step);
  const missed = await dieAt(fixture, scenario, first);
  if (missed !== null) return fail(missed);
  await host.setFailpoint(`${scenario.operation}/${second}`);
  const how = await host.restart().then(
    () => 'serving',
    (error: unknown) => (error instanceof HostdEnded ? error.how : Promise.reject(error)),
  );
  await host.setFailpoint(null);
  if (how !== 'SIGKILL') return fail(`${second} was not reached in recovery: hostd is ${how}`);
  await host.restart();
  const progress = progressAt(observed, scenario.recovery === 'finish' ? 'journal' : scenario.commit, where);
  return { allowed: statesOf(progress, scenario), vmLost: false, problems: [] };
}

/** Crash at the case's point and moment, and restart: resolves when hostd serves again. */
export async function crash(fixture: Fixture, each: CrashCase, observed: ObservedScenario): Promise<Crash> {
  switch (each.moment) {
    case 'before':
    case 'after':
      return await crashInside(fixture, each, observed);
    case 'during':
      return await crashDuring(fixture, each, observed);
    case 'vmm':
      return await crashVmm(fixture, each, observed);
    case 'hung':
      return await crashHung(fixture, each);
    case 'both':
      return await crashBoth(fixture, each, observed);
    case 'power-before':
    case 'power-after':
      return await losePower(fixture, each, observed);
    case 'again':
      return await crashAgain(fixture, each, observed);
  }
}
