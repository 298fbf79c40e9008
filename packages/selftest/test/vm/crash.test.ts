import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { buildGuestImage } from '@mvm/guest-image';
import { diffHost, snapshotHost } from '@mvm/testkit';
import { expect, test } from 'vitest';
import type { CaseResult, launchSelftest as Launch, SelftestEvent } from '../../src/index.js';
import { MOMENTS, pivotResults } from '../../src/outside/pivot.js';

// As a user runs it: the built program, whose types are those of its sources.
const built = '../../dist/index.js';
const { launchSelftest }: { launchSelftest: typeof Launch } = await import(/* @vite-ignore */ built);

const repo = (path: string): string => fileURLToPath(new URL(`../../../../${path}`, import.meta.url));
const HOURS = 3_600_000;
/** Where the table is written, as the cases end. */
const tableFile = process.env.MVM_CRASH_TABLE;

/** `MVM_CRASH=all` runs the whole matrix, a number that many cases; without it each step of each operation is crashed once. */
const wanted = process.env.MVM_CRASH ?? '';
const seed = Number(process.env.MVM_CRASH_SEED ?? '1');
const selection =
  wanted === 'all' ? 'all' : /^[1-9]\d*$/.test(wanted) ? { sample: Number(wanted) } : 'each-step';

test(
  'a crash at any step of any operation loses no guest, restores none twice, and leaves nothing',
  async () => {
    const image = await buildGuestImage({ outDir: repo('.cache/guest-image') });
    const marks = { marks: ['mvmst-'] };
    const before = await snapshotHost(marks);
    const results: CaseResult[] = [];
    let rows: readonly string[] = [];
    let chosen = 0;
    let total = 0;
    const events: SelftestEvent[] = [];
    await launchSelftest(
      {
        kind: 'crash',
        hostd: repo('apps/hostd/bin/mvm-hostd.js'),
        image,
        selection,
        seed,
        operation: null,
        only: process.env.MVM_CRASH_ONLY ?? null,
        memMib: 160,
        vmm: 'auto',
      },
      (event) => {
        events.push(event);
        if (event.type === 'matrix') ({ rows, chosen, total } = event);
        if (event.type !== 'case') return;
        results.push(event.result);
        // While it runs, which the whole matrix does for an hour, the file tells how far it has come.
        if (tableFile !== undefined) writeFileSync(tableFile, report(results, rows));
      },
    );
    process.stdout.write(`\n${renderTable(results, rows)}\n${chosen} of ${total} cases, seed ${seed}\n`);

    expect(results.filter(({ problems }) => problems.length > 0)).toEqual([]);
    expect(events.at(-1)).toEqual({ type: 'end', failure: null });
    // What is enumerated, and what is done around it, came to an end.
    expect(results).toHaveLength(chosen + 2);
    expect(events.filter(({ type }) => type === 'note')).toEqual([]);
    if (wanted === '' && process.env.MVM_CRASH_ONLY === undefined) {
      const tried = new Set(results.map(({ moment }) => moment));
      expect(MOMENTS.filter((moment) => !tried.has(moment))).toEqual([]);
    }
    expect(diffHost(before, await snapshotHost(marks))).toEqual([]);
  },
  4 * HOURS,
);

/** The table so far, and what failed. */
function report(results: readonly CaseResult[], rows: readonly string[]): string {
  const failed = results.filter(({ problems }) => problems.length > 0);
  const lines = failed.map(({ id, problems }) => `- FAILED ${id}: ${problems.join('; ')}\n`);
  return `${renderTable(results, rows)}\n${results.length} results, ${failed.length} failed\n${lines.join('')}`;
}

/** The matrix in Markdown: a row per step, a column per moment. */
function renderTable(results: readonly CaseResult[], rows: readonly string[]): string {
  const lines = pivotResults(results, rows).map(
    ({ operation, step, outcomes }) =>
      `| ${operation} | \`${step}\` | ${MOMENTS.map((moment) => outcomes[moment] ?? '').join(' | ')} |`,
  );
  const head = ['operation', 'step', ...MOMENTS];
  return [`| ${head.join(' | ')} |`, `|${head.map(() => '---').join('|')}|`, ...lines, ''].join('\n');
}
