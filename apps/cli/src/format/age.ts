const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const YEAR = 365 * DAY;

/**
 * A span of time the way `kubectl` prints ages: at most two units, the finer one only while it matters
 * (`45s`, `5m30s`, `125m`, `5h12m`, `30h`, `5d3h`, `300d`, `3y12d`). Negative spans up to a second are `0s`,
 * larger ones (clocks that disagree) `<invalid>`.
 */
export function formatAge(spanMs: number): string {
  if (Number.isNaN(spanMs) || spanMs < -1 * SECOND) return '<invalid>';
  const span = Math.max(0, spanMs);
  if (span < 2 * MINUTE) return `${Math.floor(span / SECOND)}s`;
  if (span < 10 * MINUTE) return pair(span, MINUTE, 'm', SECOND, 's');
  if (span < 3 * HOUR) return `${Math.floor(span / MINUTE)}m`;
  if (span < 8 * HOUR) return pair(span, HOUR, 'h', MINUTE, 'm');
  if (span < 48 * HOUR) return `${Math.floor(span / HOUR)}h`;
  if (span < 8 * DAY) return pair(span, DAY, 'd', HOUR, 'h');
  if (span < 2 * YEAR) return `${Math.floor(span / DAY)}d`;
  if (span < 8 * YEAR) return pair(span, YEAR, 'y', DAY, 'd');
  return `${Math.floor(span / YEAR)}y`;
}

/** Age at `nowMs` of an RFC 3339 time; `-` when there is none. */
export function formatAgeOf(time: string | null, nowMs: number): string {
  return time === null || time === '' ? '-' : formatAge(nowMs - Date.parse(time));
}

/**
 * The same as a phrase: `5m ago`. `in the future` when the time is still to come, because the host's clock was set back.
 */
export function formatAgo(time: string | null, nowMs: number): string {
  const age = formatAgeOf(time, nowMs);
  if (age === '-') return age;
  return age === '<invalid>' ? 'in the future' : `${age} ago`;
}

function pair(span: number, coarse: number, coarseUnit: string, fine: number, fineUnit: string): string {
  const rest = Math.floor((span % coarse) / fine);
  return `${Math.floor(span / coarse)}${coarseUnit}${rest === 0 ? '' : `${rest}${fineUnit}`}`;
}
