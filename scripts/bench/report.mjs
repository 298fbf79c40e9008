import { cpus, release } from 'node:os';

/**
 * @typedef {object} Figure
 * @property {string} name what was measured, e.g. `ping, version 1, 16 clients`
 * @property {number} value
 * @property {string} unit e.g. `requests/s`, `ms`, `×`
 * @property {{ min?: number, max?: number }} [target] what it has to reach; only ratios have one
 * @property {string} [note]
 */

/**
 * @typedef {object} BenchReport
 * @property {string} package
 * @property {string} title
 * @property {string} [method] one or two sentences: what is compared with what, how often
 * @property {Figure[]} figures
 */

/**
 * A bench's report out of its JSON: `{ title, method?, figures: [{ name, value, unit, target?, note? }] }`.
 * Throws an Error that names the package when it has another shape.
 * @param {string} packageName
 * @param {string} text
 * @returns {BenchReport}
 */
export function parseReport(packageName, text) {
  const report = JSON.parse(text);
  const figures = report?.figures;
  const isFigure = (/** @type {any} */ f) =>
    typeof f?.name === 'string' && Number.isFinite(f.value) && typeof f.unit === 'string';
  if (
    typeof report?.title !== 'string' ||
    !Array.isArray(figures) ||
    figures.length === 0 ||
    !figures.every(isFigure)
  ) {
    throw new Error(`${packageName}: a bench report needs a title and figures with name, value and unit`);
  }
  return { package: packageName, title: report.title, method: report.method, figures };
}

/**
 * One line per figure that misses its target.
 * @param {BenchReport} report
 */
export function missedTargets(report) {
  return report.figures
    .filter(
      ({ value, target }) => !((target?.min ?? -Infinity) <= value && value <= (target?.max ?? Infinity)),
    )
    .map(
      (figure) =>
        `${report.package}: ${figure.name}: ${render(figure.value)} ${figure.unit}, target ${renderTarget(figure)}`,
    );
}

/** @param {BenchReport} report */
export function renderReport(report) {
  const rows = [['figure', 'value', 'target', ''], ...report.figures.map(row)];
  return [`## ${report.title}`, '', ...(report.method ? [report.method, ''] : []), ...table(rows)].join('\n');
}

/**
 * The page of figures, with the machine that they were measured on.
 * @param {BenchReport[]} reports
 */
export function renderPage(reports) {
  const processors = cpus();
  return `${[
    '# Benchmarks',
    '',
    'Written by `pnpm bench`; do not edit. Absolute figures are of the machine below, and other work may have run on it;',
    'the ratios compare both sides within one run, interleaved, and are what is promised.',
    '',
    `${processors.length} × ${processors[0]?.model.trim() || 'unknown CPU'}, Linux ${release()}, Node ${process.version}`,
    '',
    reports.map(renderReport).join('\n\n'),
  ].join('\n')}\n`;
}

/**
 * The page with these reports in place of its sections of the same titles; new ones come last.
 * @param {string} page
 * @param {BenchReport[]} reports
 */
export function updatePage(page, reports) {
  const [head = '', ...sections] = page.trimEnd().split(/\n+(?=## )/);
  const titleOf = (/** @type {string} */ section) => section.slice(3, section.indexOf('\n'));
  const fresh = new Map(reports.map((report) => [report.title, renderReport(report)]));
  const kept = sections.map((section) => {
    const title = titleOf(section);
    const text = fresh.get(title) ?? section;
    fresh.delete(title);
    return text;
  });
  return `${[head, ...kept, ...fresh.values()].join('\n\n')}\n`;
}

/** @param {Figure} figure */
function row(figure) {
  return [figure.name, `${render(figure.value)} ${figure.unit}`, renderTarget(figure), figure.note ?? ''];
}

/** @param {Figure} figure */
function renderTarget({ target, unit }) {
  if (target === undefined) return '';
  return [
    ...(target.min === undefined ? [] : [`≥ ${render(target.min)} ${unit}`]),
    ...(target.max === undefined ? [] : [`≤ ${render(target.max)} ${unit}`]),
  ].join(', ');
}

/** Three significant digits, without exponents. @param {number} value */
function render(value) {
  if (value === 0 || Math.abs(value) >= 1000) return Math.round(value).toLocaleString('en-US');
  return Number(value.toPrecision(3)).toString();
}

/** @param {string[][]} rows the first is the header */
function table(rows) {
  const line = (/** @type {string[]} */ cells) =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const [header = [], ...rest] = rows;
  return [line(header), `|${header.map(() => '---').join('|')}|`, ...rest.map(line)];
}
