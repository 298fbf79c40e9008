import { setTimeout as sleep } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { clockJumpMs, readClockOffset } from './clock-offset.js';

const offset = (offset_ms: number, boot_id = 'a') => ({ boot_id, offset_ms });

it.each([
  [offset(5000), offset(5999), 0],
  [offset(5000), offset(4001), 0],
  [offset(5000), offset(6000), 1000],
  [offset(5000), offset(-9000), -14_000],
  [offset(5000), offset(5000, 'b'), null],
])('between %j and %j the clock was set by %j ms', (then, now, expected) => {
  expect(clockJumpMs(then, now)).toBe(expected);
});

it('the offset of this host is the time of its boot, and stays', async () => {
  const { boot_id, offset_ms } = readClockOffset();
  expect(boot_id).toMatch(/^[0-9a-f-]{36}$/);
  const monotonicMs = Number(process.hrtime.bigint()) / 1e6;
  expect(Math.abs(offset_ms + monotonicMs - Date.now())).toBeLessThan(1000);
  await sleep(20);
  expect(readClockOffset()).toEqual({ boot_id, offset_ms });
});
