import { expect, test } from 'vitest';
import type { CaseResult } from '../events.js';
import { pivotResults } from './pivot.js';

function result(operation: string, step: string, moment: string, over: Partial<CaseResult> = {}): CaseResult {
  return {
    id: `${operation}/${step}/${moment}`,
    operation,
    step,
    moment,
    outcome: 'complete',
    problems: [],
    ms: 1,
    ...over,
  };
}

test('results become rows of operation and step, in the given order, with failures standing out', () => {
  const results = [
    result('wake', 'b', 'after'),
    result('wake', 'a', 'before', { outcome: 'undone' }),
    result('wake', 'a', 'vmm', { outcome: '', problems: ['lost'] }),
    result('matrix', 'every step', 'enumerated'),
  ];
  expect(pivotResults(results, ['wake/a', 'wake/b'])).toEqual([
    { operation: 'wake', step: 'a', outcomes: { before: 'undone', vmm: 'FAIL' } },
    { operation: 'wake', step: 'b', outcomes: { after: 'done' } },
  ]);
});
