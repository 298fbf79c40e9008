import { type CrashCase, type ObservedScenario, type Progress, pointsOf } from './cases.js';
import type { Scenario } from './scenarios.js';
import type { State } from './targets.js';

/** The states that a scenario's target may be in when its operation had come so far. Pure. */
export function statesOf(progress: Progress, { from, to, operation }: Scenario): State[] {
  // A start that is undone leaves an instance prepared.
  const undone: State[] = from === 'new' && operation === 'start' ? ['new', 'idle'] : [from];
  return progress === 'either' ? [...undone, to] : progress === 'from' ? undone : [to];
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
    case 'reboot':
      // The VM that it ends anyway; or the one that it has booted, which hostd then finds gone.
      return at > points.indexOf('vm.launch') ? ['idle'] : ['running', 'idle'];
    default:
      return ['idle'];
  }
}

/** Where an operation may end whose VMM is gone together with hostd, out of the states without that. Pure. */
export function afterLoss(states: readonly State[], { operation }: Scenario): State[] {
  const lost = states.map((state) => (state === 'running' || state === 'warm' ? 'idle' : state));
  // A reboot that is finished afterwards boots another VM.
  return operation === 'reboot' ? [...lost, 'running'] : lost;
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

/** Why an instance may say that it does not run, after this case; null where it does not matter. Pure. */
export function reasonsAfter(
  { scenario, step, moment }: Pick<CrashCase, 'scenario' | 'step' | 'moment'>,
  state: State,
  vmLost: boolean,
): readonly string[] | null {
  const isInstance = ['keeper', 'spare', 'fresh'].includes(scenario.target);
  if (state !== 'idle' || !isInstance || ['create', 'ensure_pool'].includes(scenario.operation)) return null;
  // A forced stop came while the VMM hung.
  if (moment === 'hung') return ['requested', 'start_failed', 'lost', 'exited'];
  if (scenario.operation === 'start') {
    const neverBegan = step === 'journal' && moment.endsWith('before');
    if (vmLost) return neverBegan ? null : ['start_failed', 'lost', 'exited'];
    return neverBegan ? null : ['start_failed'];
  }
  if (scenario.operation === 'reboot') return ['start_failed', 'lost', 'exited'];
  if (scenario.operation === 'reap') return ['exited', 'lost'];
  if (scenario.operation === 'stop') return vmLost ? ['requested', 'lost', 'exited'] : ['requested'];
  return ['lost', 'exited'];
}

/** What a result calls the end of a case. Pure. */
export function outcomeOf({ from, to }: Scenario, state: State, vmLost: boolean): string {
  if (state === to) return 'complete';
  if (state === from) return 'undone';
  return vmLost && state === 'idle' ? 'stopped, VM lost' : state;
}
