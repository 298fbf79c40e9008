/* biome-ignore-all lint/suspicious/noConsole: this program's output is its product */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { clearState, readState } from './demo-state.js';
import { createDemoHost } from './host.js';
import { printStatus, startAgain } from './kept-demo.js';
import { createMvm } from './mvm.js';
import { isAlive } from './processes.js';
import { heading, printFailure, printKept, printTakenDown } from './report.js';
import { showKill, showSleep } from './show-continuity.js';
import { showTenants } from './show-tenants.js';
import { createStages, renderStageTable } from './stages.js';
import { takeDown } from './take-down.js';

const repo = fileURLToPath(new URL('../../..', import.meta.url));
const flag = { type: 'boolean', default: false } as const;
const { values: options } = parseArgs({ options: { keep: flag, start: flag, status: flag, stop: flag } });

if (options.stop) process.exitCode = await stop();
else if (options.status) process.exitCode = await printStatus(repo);
else if (options.start) process.exitCode = await startAgain(repo);
else process.exitCode = await demo();

/** Takes down what `--keep`, or a demo that was killed, left. */
async function stop(): Promise<number> {
  const left = readState(repo);
  if (left === null) {
    console.log('No demo of this checkout is running.');
    return 0;
  }
  if (!left.kept && isAlive(left.demo)) {
    console.log(`A demo is under way (process ${left.demo.pid}); stop it with Ctrl-C there.`);
    return 1;
  }
  return printTakenDown(await takeDown(repo, left));
}

async function demo(): Promise<number> {
  const left = readState(repo);
  if (left !== null) {
    if (left.kept && left.holder !== null && isAlive(left.holder)) {
      console.error(
        'A demo is still there: npm run demo -- --status shows it, --start starts again what has ended, --stop removes it.',
      );
      return 1;
    }
    if (isAlive(left.demo)) {
      console.error(`A demo is under way already (process ${left.demo.pid}).`);
      return 1;
    }
    console.log('Taking down what an earlier demo left when it was killed.');
    if (printTakenDown(await takeDown(repo, left)) !== 0) return 1;
    clearState(repo);
  }

  const interrupt = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => {
      if (!interrupt.signal.aborted)
        console.error(`\n${signal}: taking everything down; this takes a few seconds.`);
      interrupt.abort(new Error(`stopped by ${signal}`));
    });
  }

  console.log(heading('From a checkout to two tenants with running guests'));
  const stages = createStages(process.env.MVM_DEMO_STAGES ?? '', (line) => console.log(line));
  const host = await createDemoHost(repo);
  const mvm = createMvm(repo, host.paths, interrupt.signal);
  let failure: unknown;
  let instances: string[] = [];
  try {
    instances = await showTenants({
      host,
      mvm,
      stages,
      signal: interrupt.signal,
      imageCache: join(repo, '.cache/guest-image'),
      example: join(repo, 'examples/two-tenants.yaml'),
    });
    const shown = { host, mvm, stages, signal: interrupt.signal };
    await showSleep(instances[0] ?? '', shown);
    await showKill(shown);
  } catch (error) {
    failure = error;
    if (!interrupt.signal.aborted) printFailure(error, host.paths);
  }

  if (failure === undefined && options.keep) {
    host.markKept();
    console.log(renderStageTable(stages.finished));
    printKept(host.state(), mvm, instances[0] ?? '');
    return 0;
  }
  console.log(heading('Taking everything down'));
  const result = await stages.run('take down', () => takeDown(repo, host.state()));
  const takenDownStatus = printTakenDown(result);
  console.log(heading('Times'));
  console.log(renderStageTable(stages.finished));
  return failure === undefined ? takenDownStatus : interrupt.signal.aborted ? 130 : 1;
}
