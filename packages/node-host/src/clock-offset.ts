import { readFileSync } from 'node:fs';

/**
 * How the wall clock is set: its time minus the kernel's monotonic clock, which is never set, in milliseconds. Two offsets of
 * one boot differ by as much as the wall clock was set in between.
 */
export interface ClockOffset {
  readonly boot_id: string;
  readonly offset_ms: number;
}

/** Smaller differences come from reading two clocks one after the other, and are no setting of the clock. */
const SLACK_MS = 1000;

/**
 * How far the wall clock was set between two offsets, in milliseconds; 0 when it runs by itself, null when the host was
 * rebooted in between. Pure.
 */
export function clockJumpMs(then: ClockOffset, now: ClockOffset): number | null {
  if (then.boot_id !== now.boot_id) return null;
  const jump = now.offset_ms - then.offset_ms;
  return Math.abs(jump) < SLACK_MS ? 0 : jump;
}

let bootId: string | null = null;
let last: ClockOffset | null = null;

/**
 * The offset of this host now; the same value until the wall clock is set. Source: clock_gettime(2), CLOCK_MONOTONIC;
 * random(4), boot_id.
 */
export function readClockOffset(): ClockOffset {
  bootId ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  const offset_ms = Math.round(Date.now() - Number(process.hrtime.bigint()) / 1e6);
  const now = { boot_id: bootId, offset_ms };
  if (last === null || clockJumpMs(last, now) !== 0) last = now;
  return last;
}
