/**
 * Times in records, when the wall clock is set.
 *
 * A record keeps, beside each time, how the wall clock was set (`ClockOffset`). If it was set differently since, the time is
 * moved by the difference. The age of such a time is what has passed on the monotonic clock.
 */
import { type ClockOffset, clockJumpMs } from '@mvm/node-host';
import type { InstanceRecord } from './records.js';

const TIMES = {
  created_at: (record) => record.created_at,
  last_started_at: (record) => record.last_started_at,
  last_stopped_at: (record) => record.last_stopped_at,
  entered_running_at: (record) => record.entered_running_at,
  entered_warm_at: (record) => record.entered_warm_at,
  stop_reason: (record) => record.stop_reason?.at,
  last_exit: (record) => record.last_exit?.at,
} as const satisfies Record<string, (record: InstanceRecord) => string | null | undefined>;

/** The record with the offset of each time that `before`, the record that it replaces, does not have. Pure. */
export function withTimeOffsets(
  record: InstanceRecord,
  before: InstanceRecord | undefined,
  now: ClockOffset,
): InstanceRecord {
  const offsets: Record<string, ClockOffset> = {};
  for (const [name, timeOf] of Object.entries(TIMES)) {
    const time = timeOf(record);
    if (time == null) continue;
    const offset = before !== undefined && timeOf(before) === time ? before.time_offsets?.[name] : now;
    if (offset !== undefined) offsets[name] = offset;
  }
  const { time_offsets: _, ...rest } = record;
  return Object.keys(offsets).length === 0 ? rest : { ...rest, time_offsets: offsets };
}

/**
 * The record with times by the wall clock as it is set now. A time of an earlier boot is at most that of this boot: how far
 * the clock was set between the two is not known. A time without an offset stays. Pure.
 */
export function onPresentClock(record: InstanceRecord, now: ClockOffset): InstanceRecord {
  const offsets = record.time_offsets;
  if (offsets === undefined) return record;
  const present = (name: keyof typeof TIMES): string | null | undefined =>
    presentTime(TIMES[name](record), offsets[name], now);
  const reason = (name: 'stop_reason' | 'last_exit') => {
    const value = record[name];
    return value == null ? value : { ...value, at: present(name) ?? value.at };
  };
  return {
    ...record,
    created_at: present('created_at'),
    last_started_at: present('last_started_at'),
    last_stopped_at: present('last_stopped_at'),
    entered_running_at: present('entered_running_at'),
    entered_warm_at: present('entered_warm_at'),
    stop_reason: reason('stop_reason'),
    last_exit: reason('last_exit'),
  };
}

function presentTime(
  time: string | null | undefined,
  then: ClockOffset | undefined,
  now: ClockOffset,
): string | null | undefined {
  const ms = Date.parse(time ?? '');
  if (then === undefined || Number.isNaN(ms)) return time;
  const setByMs = clockJumpMs(then, now);
  if (setByMs !== null) return setByMs === 0 ? time : new Date(ms + setByMs).toISOString();
  return ms <= now.offset_ms ? time : new Date(now.offset_ms).toISOString();
}
