import { expect, it } from 'vitest';
import { programOf, renderRunOverrides } from './run-overrides.js';

const lines = (text: string | null) => text?.split('\0') ?? null;

it('writes a record for each thing that the pool says, and none for what it leaves to the image', () => {
  expect(renderRunOverrides({})).toBeNull();
  expect(
    lines(
      renderRunOverrides({
        command: ['/bin/a', 'b c', ''],
        env: { A: '1=2', B: '' },
        user: 'app:7',
        health: { command: ['/check'], interval_secs: 2, retries: 4, on_unhealthy: 'stop' },
      }),
    ),
  ).toEqual([
    ...['arg=/bin/a', 'arg=b c', 'arg=', 'env=A=1=2', 'env=B=', 'user=app:7'],
    ...['health_arg=/check', 'health_interval_ms=2000', 'health_retries=4', 'health_stops=1', ''],
  ]);
});

it('tells an empty list from one that is absent', () => {
  expect(lines(renderRunOverrides({ command: [], health: { command: [] } }))).toEqual([
    ...['no_command=1', 'no_health=1', ''],
  ]);
});

it('takes from a pool only what concerns the program', () => {
  expect(programOf({ user: '7', ...{ pool_id: 'web' } })).toEqual({ user: '7' });
  const pool: object = { pool_id: 'web' };
  expect(programOf(pool)).toBeUndefined();
});
