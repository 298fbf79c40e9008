import { expect, test } from 'vitest';
import { missedTargets, parseReport, renderPage, renderReport, updatePage } from '../bench/report.mjs';

const text = JSON.stringify({
  title: 'Ping',
  figures: [
    { name: 'version 1', value: 12345.6, unit: 'requests/s' },
    { name: 'against a bare echo', value: 0.8767, unit: '×', target: { min: 0.8 } },
    { name: 'own share', value: 1.2, unit: '×', target: { max: 1.05 } },
  ],
});

test('figures that miss their target are named', () => {
  expect(missedTargets(parseReport('@mvm/x', text))).toEqual(['@mvm/x: own share: 1.2 ×, target ≤ 1.05 ×']);
});

test('the page shows three digits and the targets', () => {
  const page = renderReport(parseReport('@mvm/x', text));
  expect(page).toContain('| version 1 | 12,346 requests/s |  |  |');
  expect(page).toContain('| against a bare echo | 0.877 × | ≥ 0.8 × |  |');
});

test.each([
  '{}',
  '{"title":"x","figures":[]}',
  '{"title":"x","figures":[{"name":"y","value":null,"unit":"s"}]}',
])('a report of another shape is refused: %s', (bad) =>
  expect(() => parseReport('@mvm/x', bad)).toThrow('@mvm/x'),
);

test('a run of some benches replaces their sections and keeps the others', () => {
  const report = (/** @type {string} */ title, /** @type {number} */ value) =>
    parseReport('@mvm/x', JSON.stringify({ title, figures: [{ name: 'n', value, unit: 'ms' }] }));
  const page = renderPage([report('One', 1), report('Two', 2), report('Three', 3)]);
  expect(updatePage(page, [report('Two', 2)])).toBe(page);
  const updated = updatePage(page, [report('Two', 20), report('Four', 4)]);
  expect(updated).toBe(
    renderPage([report('One', 1), report('Two', 20), report('Three', 3), report('Four', 4)]),
  );
});
