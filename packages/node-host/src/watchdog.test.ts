import { expect, it } from 'vitest';
import { watchdogIntervalMs } from './watchdog.js';

it.each([
  [{}, null],
  [{ WATCHDOG_USEC: '60000000' }, 60_000],
  [{ WATCHDOG_USEC: '500', WATCHDOG_PID: '12' }, 0.5],
  [{ WATCHDOG_USEC: '60000000', WATCHDOG_PID: '13' }, null],
  [{ WATCHDOG_USEC: '0' }, null],
  [{ WATCHDOG_USEC: '' }, null],
  [{ WATCHDOG_USEC: 'often' }, null],
  [{ WATCHDOG_PID: '12' }, null],
])('%j', (environment, expected) => {
  expect(watchdogIntervalMs(environment, 12)).toBe(expected);
});
