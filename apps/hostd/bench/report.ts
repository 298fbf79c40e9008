import { mkdir, writeFile } from 'node:fs/promises';
import { cpus, release } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly target?: { readonly min?: number; readonly max?: number };
  readonly note?: string;
}

const sorted = (list: readonly number[]): number[] => [...list].sort((a, b) => a - b);
const rounded = (value: number, digits: number): number => Number(value.toFixed(digits));

/** The value below which a share `q` (0…1) of a list lies. */
export function quantile(list: readonly number[], q: number): number {
  const ordered = sorted(list);
  return ordered[Math.min(ordered.length - 1, Math.floor(ordered.length * q))] ?? Number.NaN;
}

/** Median and 95th percentile of durations, as two figures. */
export function msFigures(name: string, list: readonly number[], digits = 1): Figure[] {
  return [
    { name: `${name}, p50`, value: rounded(quantile(list, 0.5), digits), unit: 'ms' },
    { name: `${name}, p95`, value: rounded(quantile(list, 0.95), digits), unit: 'ms' },
  ];
}

/** The ratio of two sides' medians, and the median of the rounds' ratios; the first has the target. */
export function ratioFigures(
  name: string,
  ours: readonly number[],
  theirs: readonly number[],
  target: NonNullable<Figure['target']>,
): Figure[] {
  const ratios = ours.map((ms, round) => ms / (theirs[round] ?? Number.NaN));
  return [
    { name, value: rounded(quantile(ours, 0.5) / quantile(theirs, 0.5), 3), unit: '×', target },
    { name: 'the same, median of the rounds’ ratios', value: rounded(quantile(ratios, 0.5), 3), unit: '×' },
  ];
}

/** Prints a report and leaves it where `pnpm bench` looks for it. */
export async function writeReport(
  name: string,
  report: { readonly title: string; readonly method: string; readonly figures: readonly Figure[] },
): Promise<void> {
  const results = join(dirname(fileURLToPath(import.meta.url)), '../.bench-results');
  await mkdir(results, { recursive: true });
  await writeFile(join(results, `${name}.json`), `${JSON.stringify(report, null, 2)}\n`);
  process.stdout.write(
    `${cpus()[0]?.model} × ${cpus().length}, Linux ${release()}, Node ${process.version}\n`,
  );
  for (const figure of report.figures) {
    process.stdout.write(`${figure.name.padEnd(52)} ${String(figure.value).padStart(9)} ${figure.unit}\n`);
  }
}
