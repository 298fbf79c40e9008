import type { NetworkReport } from '@mvm/protocol';
import { expect, it } from 'vitest';
import { NO_DRIFT, networkStatus, persistentDrifts, trackDrift } from './track-drift.js';

const drift = (name: string): NetworkReport['drifts'][number] => ({
  object: 'element',
  name,
  state: 'missing',
  detail: 'not in the set',
});

function report(...names: string[]): NetworkReport {
  return {
    tenant_id: null,
    kinds: [{ object: 'element', checked: 9, drifts: names.length }],
    drifts: names.map(drift),
    drift_count: names.length,
    probes: null,
    duration_ms: 5,
  };
}

it('a drift keeps its first sighting until a verification no longer finds it', () => {
  const first = trackDrift(NO_DRIFT, report('a', 'b'), 1000);
  const second = trackDrift(first, report('b', 'c'), 3000);
  expect(second.followed.map(({ drift: { name }, sinceMs }) => [name, sinceMs])).toEqual([
    ['b', 1000],
    ['c', 3000],
  ]);
  const third = trackDrift(trackDrift(second, report(), 4000), report('b'), 5000);
  expect(third.followed).toMatchObject([{ sinceMs: 5000 }]);
});

it('only what has stood for long enough persists', () => {
  const history = trackDrift(trackDrift(NO_DRIFT, report('a'), 0), report('a', 'b'), 10_000);
  expect(persistentDrifts(history, 15_000, 14_999)).toEqual([]);
  expect(persistentDrifts(history, 15_000, 15_000).map(({ drift: { name } }) => name)).toEqual(['a']);
});

it('status says since when, and is bounded', () => {
  const many = report(...Array.from({ length: 200 }, (_, i) => `e${i}`));
  const status = networkStatus(trackDrift(NO_DRIFT, many, 0), many, { verifiedAtMs: 20_000, persistsMs: 1 });
  expect(status).toMatchObject({ drift_count: 200, persistent: 50, error: null });
  expect(status.drifts).toHaveLength(50);
  expect(status.drifts[0]?.since).toBe('1970-01-01T00:00:00.000Z');
});
