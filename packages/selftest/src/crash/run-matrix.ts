import type { CaseResult, InsideOptions, SelftestEvent } from '../events.js';
import { type Bench, createBench } from './bench.js';
import { enumerateCases, orderCases, selectCases } from './cases.js';
import { observeScenarios, stepsNotCovered } from './reference-run.js';
import { runCase } from './run-case.js';
import { SCENARIOS } from './scenarios.js';
import { prepareTenants } from './subjects.js';
import { createWorld } from './world.js';

/**
 * The crash matrix: enumerate it from what hostd does, crash at the chosen points, judge. Results are given to `emit` one
 * by one. Throws when the world cannot be made, or an operation fails without any crash.
 */
export async function runCrashMatrix(
  options: InsideOptions,
  emit: (event: SelftestEvent) => void,
): Promise<void> {
  const progress = (text: string): void => emit({ type: 'progress', text });
  progress('making a host of its own');
  const world = await createWorld(options);
  if (world.volume === null) {
    emit({ type: 'note', text: `no loss of power is tried: ${world.volumeReason}` });
  }
  const bench = await createBench(world);
  await prepareTenants(world);
  progress('booting two guests');
  await bench.bystander.goTo('running');
  await bench.keeper.goTo('running');
  const observed = await observeScenarios(bench, SCENARIOS, progress);
  emit({ type: 'case', result: await coverage(options, observed) });

  const wanted = enumerateCases(observed, world.volume !== null).filter(
    ({ id, scenario }) =>
      (options.operation === null || scenario.operation === options.operation) &&
      (options.only === null || id.includes(options.only)),
  );
  const chosen = orderCases(selectCases(wanted, options.selection, options.seed));
  const rows = [...new Set(wanted.map(({ scenario, step }) => `${scenario.name}/${step}`))];
  emit({ type: 'matrix', total: wanted.length, chosen: chosen.length, seed: options.seed, rows });
  if (chosen.length === 0) throw new Error('no case of the matrix was chosen');
  await bench.keeper.goTo('running');
  await bench.awaitGuest('keeper');
  await bench.awaitGuest('bystander');
  if (!bench.understandsGuests) {
    emit({
      type: 'note',
      text: 'the guests do not greet as the demo image does: whether they are the same ones is told by their processes only',
    });
  }
  for (const each of chosen) {
    progress(each.id);
    const shape = observed.find(({ scenario }) => scenario === each.scenario);
    if (shape === undefined) throw new Error(`${each.id} was never observed`);
    emit({ type: 'case', result: await runCase(bench, each, shape) });
  }
  emit({ type: 'case', result: await atTheEnd(bench) });
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
async function atTheEnd(bench: Bench): Promise<CaseResult> {
  return await timed('end/take down/nothing left', 'complete', async () => {
    const problems =
      (await bench.bystander.state()) === 'running' ? await bench.guestProblems('bystander') : [];
    for (const subject of [
      bench.keeper,
      bench.spare,
      bench.fresh,
      bench.bystander,
      bench.pool,
      bench.network,
    ]) {
      await subject.goTo('absent');
    }
    return [...problems, ...(await bench.differences())];
  });
}
