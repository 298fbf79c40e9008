import type { ClockOffset } from '@mvm/node-host';
import { describe, expect, it } from 'vitest';
import { instanceRecord } from '../../test/records.js';
import type { InstanceRecord } from './records.js';
import { onPresentClock, withTimeOffsets } from './time-offsets.js';

const HOUR = 3_600_000;
const BOOT = Date.parse('2026-11-01T00:00:00.000Z');
const first: ClockOffset = { boot_id: 'first', offset_ms: BOOT };
const setBy = (ms: number): ClockOffset => ({ ...first, offset_ms: first.offset_ms + ms });
const at = (ms: number): string => new Date(BOOT + ms).toISOString();
const stopped = {
  kind: 'exited',
  at: at(2 * HOUR),
  message: 'it ended',
  console_tail: '',
  exit_code: 1,
  signal: null,
} as const;
const record: InstanceRecord = {
  ...instanceRecord({ status: 'stopped' }),
  created_at: at(HOUR),
  last_started_at: null,
  last_stopped_at: at(2 * HOUR),
  entered_running_at: null,
  entered_warm_at: null,
  stop_reason: stopped,
  last_exit: null,
};

describe('times of a record', () => {
  it.each([
    ['forwards', 720 * HOUR],
    ['backwards', -720 * HOUR],
  ])('move with a wall clock that is set %s', (_, ms) => {
    const saved = withTimeOffsets(record, undefined, first);
    expect(onPresentClock(saved, setBy(ms))).toMatchObject({
      created_at: at(HOUR + ms),
      last_started_at: null,
      last_stopped_at: at(2 * HOUR + ms),
      stop_reason: { ...stopped, at: at(2 * HOUR + ms) },
    });
  });

  it('stay as they are while the clock runs by itself', () => {
    const saved = withTimeOffsets(record, undefined, first);
    expect(onPresentClock(saved, setBy(900))).toEqual({ ...saved });
  });

  it('keep the offset of when they were written, each its own', () => {
    const created = withTimeOffsets(
      { ...record, last_stopped_at: null, stop_reason: null },
      undefined,
      first,
    );
    expect(created.time_offsets).toEqual({ created_at: first });
    const later = setBy(-5 * HOUR);
    const ended = withTimeOffsets({ ...created, last_stopped_at: at(-3 * HOUR) }, created, later);
    expect(ended.time_offsets).toEqual({ created_at: first, last_stopped_at: later });
    // What was written after the change is right by the present clock; what was written before is moved.
    expect(onPresentClock(ended, later)).toMatchObject({
      created_at: at(-4 * HOUR),
      last_stopped_at: at(-3 * HOUR),
    });
  });

  it('of an earlier boot are not later than this boot', () => {
    const saved = withTimeOffsets(record, undefined, first);
    const rebooted: ClockOffset = { boot_id: 'second', offset_ms: BOOT - 100 * HOUR };
    expect(onPresentClock(saved, rebooted)).toMatchObject({
      created_at: at(-100 * HOUR),
      last_stopped_at: at(-100 * HOUR),
    });
    const later: ClockOffset = { boot_id: 'second', offset_ms: BOOT + 100 * HOUR };
    expect(onPresentClock(saved, later)).toEqual({ ...saved });
  });

  it('of a record without offsets stay, and get none by being saved again', () => {
    expect(onPresentClock(record, setBy(HOUR))).toBe(record);
    const again = withTimeOffsets({ ...record, status: 'ready' }, record, first);
    expect(again).not.toHaveProperty('time_offsets');
  });
});
