import type { CaseResult, InsideOptions, SelftestEvent } from '../events.js';
import { enumerateCases, orderCases, selectCases } from './cases.js';
import { createCrashHost } from './crash-host.js';
import { createFixture, type Fixture } from './fixture.js';
import { observeScenarios, stepsNotCovered } from './reference-run.js';
import { runCase } from './run-case.js';
import { SCENARIOS } from './scenarios.js';
import { prepareTenants } from './targets.js';

/**
 * The crash matrix: enumerate it from what hostd does, crash at the chosen points, check. Results are given to `emit` one
 * by one. Throws when the host cannot be made, or an operation fails without any crash.
 */
export async function runCrashMatrix(
  options: InsideOptions,
  emit: (event: SelftestEvent) => void,
): Promise<void> {
  const progress = (text: string): void => emit({ type: 'progress', text });
  progress('making a host of its own');
  const host = await createCrashHost(options);
  if (host.volume === null) {
    emit({ type: 'note', text: `no loss of power is tried: ${host.volumeReason}` });
  }
  const fixture = await createFixture(host);
  await prepareTenants(host);
  progress('booting two guests');
  await fixture.bystander.goTo('running');
  await fixture.keeper.goTo('running');
  const observed = await observeScenarios(fixture, SCENARIOS, progress);
  emit({ type: 'case', result: await coverage(options, observed) });

  const wanted = enumerateCases(observed, host.volume !== null).filter(
    ({ id, scenario }) =>
      (options.operation === null || scenario.operation === options.operation) &&
      (options.only === null || id.includes(options.only)),
  );
  const chosen = orderCases(selectCases(wanted, options.selection, options.seed));
  const rows = [...new Set(wanted.map(({ scenario, step }) => `${scenario.name}/${step}`))];
  emit({ type: 'matrix', total: wanted.length, chosen: chosen.length, seed: options.seed, rows });
  if (chosen.length === 0) throw new Error('no case of the matrix was chosen');
  await fixture.keeper.goTo('running');
  await fixture.awaitGuest('keeper');
  await fixture.awaitGuest('bystander');
  if (!fixture.understandsGuests) {
    emit({
      type: 'note',
      text: 'the guests print no ready line as the demo image does: only their processes show whether they are the same',
    });
  }
  for (const each of chosen) {
    progress(each.id);
    const shape = observed.find(({ scenario }) => scenario === each.scenario);
    if (shape === undefined) throw new Error(`${each.id} was never observed`);
    emit({ type: 'case', result: await runCase(fixture, each, shape) });
  }
  emit({ type: 'case', result: await atTheEnd(fixture) });
}

async function timed(
  id: string,
  outcome: string,
  work: () => Promise<readonly string[]>,
): Promise<CaseResult> {
  const began = performance.now();
  const problems = await work().catch((error: unknown) => [
    error instanceof Error ? error.message : String(error),
  ]);
  const [operation = '', step = '', moment = ''] = id.split('/');
  return {
    id,
    operation,
    step,
    moment,
    outcome: problems.length === 0 ? outcome : '',
    problems,
    ms: Math.round(performance.now() - began),
  };
}

/** A result of its own: no kind of step of hostd is left out. */
async function coverage(
  options: InsideOptions,
  observed: Parameters<typeof stepsNotCovered>[1],
): Promise<CaseResult> {
  return await timed('matrix/every step/enumerated', 'complete', async () =>
    (await stepsNotCovered(options.hostd, observed)).map(
      (step) => `no operation of the matrix has the step ${step}`,
    ),
  );
}

/** After the last crash: the other tenant's guest has counted on, and everything can be taken down without a trace. */
async function atTheEnd(fixture: Fixture): Promise<CaseResult> {
  return await timed('end/take down/nothing left', 'complete', async () => {
    const problems =
      (await fixture.bystander.state()) === 'running' ? await fixture.guestProblems('bystander') : [];
    for (const target of [
      fixture.keeper,
      fixture.spare,
      fixture.fresh,
      fixture.bystander,
      fixture.pool,
      fixture.network,
    ]) {
      await target.goTo('absent');
    }
    return [...problems, ...(await fixture.differences())];
  });
}
