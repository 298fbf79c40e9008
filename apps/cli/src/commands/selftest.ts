import type { CaseResult, Selection, SelftestEvent } from '@mvm/selftest';
import { InvalidArgumentError, Option } from 'commander';
import type { CommandModule } from '../command.js';
import type { CliContext } from '../context.js';
import { ReportedFailure } from '../errors/reported-failure.js';
import { usageError } from '../errors/usage-error.js';
import { onOneLine } from '../format/control-characters.js';
import { renderDocument } from '../format/documents.js';
import { type Column, renderTable } from '../format/table.js';
import { addHelp, completeWith } from '../help.js';
import type { Invocation } from '../invocation.js';
import { chooseImage } from '../selftest/choose-image.js';
import { findHostd } from '../selftest/find-hostd.js';
import { loadSelftest } from '../selftest/load-selftest.js';
import { addStateDirOption, storeRoot } from './image-options.js';

const DEFAULT_MEM_MIB = 160;
const VMMS = ['auto', 'qemu', 'firecracker'] as const;

/** What means something with `--crash` only. */
const CRASH_OPTIONS = ['operation', 'sample', 'all', 'seed'] as const;

/** Checks of a run as a whole, beside its cases. */
const OF_THE_RUN: ReadonlySet<string> = new Set(['matrix', 'end']);

/** What has come of a run. */
interface Report {
  readonly results: CaseResult[];
  readonly notes: string[];
  seed: number | null;
  total: number | null;
  rows: readonly string[];
}

/** `mvm selftest`. */
export const selftest: CommandModule = {
  formats: ['table', 'json', 'yaml'],
  configure(command) {
    command
      .option('--crash', 'kill hostd, VMMs and the power at the steps of every operation')
      .addOption(new Option('--operation <name>', 'only this operation, e.g. wake'))
      .addOption(new Option('--sample <n>', 'this many cases, drawn by the seed').argParser(parseCount))
      .addOption(new Option('--all', 'every case; takes long').conflicts('sample'))
      .addOption(new Option('--seed <n>', 'which cases are drawn (default 1)').argParser(parseCount))
      .option('--image <name>', 'registered image to boot (default: demo, or the only one)')
      .addOption(
        new Option('--memory <MiB>', 'memory of each guest').argParser(parseCount).default(DEFAULT_MEM_MIB),
      )
      .addOption(new Option('--vmm <name>', 'what runs the guests').choices(VMMS).default('auto'))
      .option('--hostd <file>', "hostd's program (default: beside mvm, or in PATH)");
    addStateDirOption(command);
    completeWith(command);
    addHelp(
      command,
      'Starts its own hostd with real VMs, in its own namespaces, directory and cgroups. It does not touch tenants of this\nhost, and leaves nothing, also after Ctrl-C. Needs root. Without --crash it starts a guest, probes\nits network with forbidden packets, puts it to sleep, wakes and destroys it.\nWith --crash it crashes each step of each operation once, at a moment that the seed chooses, and checks the state, the\nguest, another tenant and the kernel. Exit code 1 when something is wrong.\n\nResults in the table: done; undone, as if never requested; idle, prepared and not running; stopped, the crash itself\nended the VM; FAIL, with the error below it. An empty cell was not tried.',
      [
        ['sudo mvm selftest', 'Do VMs work here?'],
        ['sudo mvm selftest --vmm firecracker', 'Do they with Firecracker?'],
        ['sudo mvm selftest --crash', 'Does hostd recover from a crash at every step?'],
        ['sudo mvm selftest --crash --operation wake --all', 'All crashes of a wake'],
        ['sudo mvm selftest --crash --sample 20 --seed 7 -o json', 'Twenty cases, for a script'],
      ],
    );
  },
  async run(context, invocation) {
    const crash = invocation.flag('crash');
    const idle = CRASH_OPTIONS.filter((name) => !crash && isGiven(invocation, name));
    if (idle.length > 0) {
      throw usageError(
        `--${idle[0]} says which crashes to try`,
        `Add --crash, or leave out --${idle.join(', --')}.`,
      );
    }
    // Known before anything is looked for: what is missing is of no use to whoever may not run it.
    const { launchSelftest, requireRoot } = await loadSelftest();
    requireRoot();
    const image = await chooseImage(storeRoot(context, invocation), invocation.text('image'));
    const hostd = findHostd({
      named: invocation.text('hostd'),
      ownPath: process.argv[1],
      path: context.env.PATH,
    });
    const report: Report = { results: [], notes: [], seed: null, total: null, rows: [] };
    const progress = await context.progress('self-test');
    let failure: Extract<SelftestEvent, { type: 'end' }>['failure'] = null;
    try {
      await launchSelftest(
        {
          kind: crash ? 'crash' : 'quick',
          hostd,
          image,
          selection: selectionOf(invocation),
          seed: invocation.number('seed') ?? 1,
          operation: invocation.text('operation') ?? null,
          only: null,
          memMib: invocation.number('memory') ?? DEFAULT_MEM_MIB,
          vmm: VMMS.find((name) => name === invocation.text('vmm')) ?? 'auto',
        },
        (event) => {
          failure = take(report, event, (text) => progress.update(text)) ?? failure;
        },
        context.signal,
      );
    } finally {
      progress.done();
    }
    await print(context, invocation, report);
    const failed = report.results.filter(({ problems }) => problems.length > 0);
    say(context, report, failed);
    if (failure !== null) {
      const { message, hint } = failure as { message: string; hint: string };
      context.say(`the self-test could not go on: ${message}${hint === '' ? '' : `\n  ${hint}`}`);
    }
    if (failure !== null || failed.length > 0) throw new ReportedFailure(1);
  },
};

function isGiven(invocation: Invocation, name: (typeof CRASH_OPTIONS)[number]): boolean {
  if (name === 'all') return invocation.flag(name);
  return (name === 'operation' ? invocation.text(name) : invocation.number(name)) !== undefined;
}

function selectionOf(invocation: Invocation): Selection {
  if (invocation.flag('all')) return 'all';
  const sample = invocation.number('sample');
  return sample === undefined ? 'each-step' : { sample };
}

/** Adds an event to the report; answers the failure that ended the run, if this event tells of one. */
function take(
  report: Report,
  event: SelftestEvent,
  show: (text: string) => void,
): { message: string; hint: string } | null {
  switch (event.type) {
    case 'progress':
      show(report.total === null ? event.text : `${report.results.length} of ${report.total}: ${event.text}`);
      return null;
    case 'matrix':
      report.seed = event.seed;
      report.total = event.chosen;
      report.rows = event.rows;
      return null;
    case 'note':
      report.notes.push(event.text);
      return null;
    case 'case':
      report.results.push(event.result);
      return null;
    case 'end':
      return event.failure;
  }
}

async function print(context: CliContext, invocation: Invocation, report: Report): Promise<void> {
  const { results, notes, seed } = report;
  if (invocation.format === 'json' || invocation.format === 'yaml') {
    const failed = results.filter(({ problems }) => problems.length > 0).length;
    const value = { passed: results.length - failed, failed, seed, notes, cases: results };
    context.stdout.write(await renderDocument('Selftest', value, invocation.format));
    return;
  }
  const { MOMENTS, pivotResults } = await loadSelftest();
  const rows = pivotResults(results, report.rows);
  if (rows.length === 0) {
    context.stdout.write(
      renderTable(
        results,
        [
          { header: 'STAGE', cell: ({ step }) => step },
          { header: 'RESULT', cell: ({ problems, outcome }) => (problems.length > 0 ? 'FAIL' : outcome) },
          { header: 'TOOK', align: 'right', cell: ({ ms }) => `${(ms / 1000).toFixed(1)}s` },
        ],
        false,
      ),
    );
    return;
  }
  const tried = MOMENTS.filter((moment) => rows.some(({ outcomes }) => outcomes[moment] !== undefined));
  const columns: Column<(typeof rows)[number]>[] = [
    { header: 'OPERATION', cell: ({ operation }) => operation },
    { header: 'STEP', cell: ({ step }) => step },
    ...tried.map((moment) => ({
      header: moment.toUpperCase(),
      cell: ({ outcomes }: (typeof rows)[number]) => outcomes[moment] ?? '',
      style: (text: string) => (text === 'FAIL' ? context.colours.red(text) : text),
    })),
  ];
  context.stdout.write(renderTable(rows, columns, false));
}

function say(context: CliContext, { results, notes, seed }: Report, failed: readonly CaseResult[]): void {
  for (const { id, problems } of failed) {
    context.say(`\n${context.errorColours.red('FAIL')} ${id}`);
    for (const problem of problems.slice(0, 20)) context.say(`  ${onOneLine(problem)}`);
  }
  for (const note of notes) context.say(`\nnote: ${note}`);
  const drawn = seed === null ? '' : ` (seed ${seed})`;
  const whole = results.filter(({ operation }) => OF_THE_RUN.has(operation));
  const checks = whole.map(
    ({ step, moment, problems }) => `${step} ${moment}${problems.length > 0 ? ': FAIL' : ''}`,
  );
  const cases = results.length - whole.length;
  const bad = failed.filter(({ operation }) => !OF_THE_RUN.has(operation)).length;
  context.say(`\n${cases - bad} passed, ${bad} failed${drawn}`);
  if (checks.length > 0) context.say(`of the run: ${checks.join('; ')}`);
}

function parseCount(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('Use a whole number from 1.');
  return Number(text);
}
