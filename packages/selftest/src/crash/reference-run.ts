import { until } from '@mvm/node-host';
import { runTool } from '../host/run-tool.js';
import { killProcess } from '../host/vmm-processes.js';
import type { ObservedScenario } from './cases.js';
import type { Fixture } from './fixture.js';
import type { Scenario } from './scenarios.js';

/**
 * Run every scenario through once without a crash: which steps it has, and what the host looks like before and after.
 * Throws when one of them fails by itself.
 */
export async function observeScenarios(
  fixture: Fixture,
  scenarios: readonly Scenario[],
  onProgress: (text: string) => void,
): Promise<ObservedScenario[]> {
  const observed: ObservedScenario[] = [];
  for (const scenario of scenarios) {
    onProgress(`${scenario.name}: looking at its steps`);
    const target = fixture.target(scenario.target);
    await target.goTo(scenario.from);
    await fixture.learn();
    const { log } = fixture.host.hostd();
    const since = log.length;
    if (scenario.request !== null) await fixture.host.client.request(scenario.request);
    else await killAndAwaitReap(fixture, since);
    if ((await target.state()) !== scenario.to) {
      throw new Error(
        `${scenario.name} left ${target.name} ${await target.state()} instead of ${scenario.to}`,
      );
    }
    await fixture.learn();
    const lines = log.slice(since);
    const steps = lines.flatMap(({ msg, step }) =>
      msg === 'step begins' && step !== undefined ? [step] : [],
    );
    if (new Set(steps).size !== steps.length) {
      throw new Error(
        `${scenario.name} has a kind of step twice, and a failpoint cannot tell the two apart: ${steps}`,
      );
    }
    observed.push({ scenario, steps, journaled: lines.some(({ step }) => step === 'journal') });
  }
  return observed;
}

async function killAndAwaitReap(fixture: Fixture, since: number): Promise<void> {
  const facts = await fixture.spare.describe();
  if (facts?.pid != null) await killProcess(facts.pid);
  const { log } = fixture.host.hostd();
  const reaped = (): boolean => log.slice(since).some(({ msg }) => msg.startsWith('a VM ended by itself'));
  await until('the reap', reaped, { timeoutMs: 60_000, everyMs: 20 });
}

/**
 * Kinds of steps that hostd has and no scenario has come by: a new one must not be forgotten here. Asks the program
 * itself (`mvm-hostd-crash failpoints`).
 */
export async function stepsNotCovered(
  hostd: string,
  observed: readonly ObservedScenario[],
): Promise<string[]> {
  const [file = hostd, ...before] = hostd.endsWith('.js') ? [process.execPath, hostd] : [hostd];
  const { steps } = JSON.parse(await runTool(file, [...before, 'failpoints'])) as { steps: string[] };
  const seen = new Set(observed.flatMap((each) => each.steps));
  return steps.filter((step) => !seen.has(step));
}
