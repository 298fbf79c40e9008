import type { CaseResult } from '../events.js';

/** The moments of a crash in the order in which tables show them. */
export const MOMENTS = [
  'before',
  'during',
  'after',
  'again',
  'vmm',
  'hung',
  'both',
  'power-before',
  'power-after',
] as const;

const SHORT: Readonly<Record<string, string>> = { complete: 'done', 'stopped, VM lost': 'stopped' };

/** One step of one operation with what became of it at each moment; an absent moment was not tried. */
export interface PivotRow {
  readonly operation: string;
  readonly step: string;
  /** `done`, `undone`, `stopped`, …, or `FAIL`. */
  readonly outcomes: Readonly<Partial<Record<(typeof MOMENTS)[number], string>>>;
}

/** Results as a table of operation and step against moment, in the order in which the operations came first. Pure. */
export function pivotResults(results: readonly CaseResult[], order: readonly string[] = []): PivotRow[] {
  const rows = new Map<string, { operation: string; step: string; outcomes: Record<string, string> }>();
  const place = new Map(order.map((key, index) => [key, index]));
  for (const { operation, step, moment, outcome, problems } of results) {
    if (!(MOMENTS as readonly string[]).includes(moment)) continue;
    const key = `${operation}/${step}`;
    const row = rows.get(key) ?? { operation, step, outcomes: {} };
    row.outcomes[moment] = problems.length > 0 ? 'FAIL' : (SHORT[outcome] ?? outcome);
    rows.set(key, row);
  }
  return [...rows]
    .sort(([a], [b]) => (place.get(a) ?? Number.MAX_SAFE_INTEGER) - (place.get(b) ?? Number.MAX_SAFE_INTEGER))
    .map(([, row]) => row);
}
