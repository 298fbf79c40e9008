import { expect, it } from 'vitest';
import { createSteadyClock } from './steady-clock.js';

const HOUR = 3_600_000;

it('a clock is steady after an hour in which it was not set', () => {
  let ms = 5000;
  let offset = { boot_id: 'a', offset_ms: 1_000_000 };
  const isSteady = createSteadyClock(
    () => offset,
    () => ms,
  );
  expect(isSteady()).toBe(false);
  ms += HOUR - 1;
  expect(isSteady()).toBe(false);
  ms += 1;
  expect(isSteady()).toBe(true);
  offset = { ...offset, offset_ms: offset.offset_ms + 8760 * HOUR };
  expect(isSteady()).toBe(false);
  ms += HOUR - 1;
  expect(isSteady()).toBe(false);
  ms += 1;
  expect(isSteady()).toBe(true);
});
