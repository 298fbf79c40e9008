import { InvalidArgumentError } from 'commander';

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 };
const MAX_MS = 24 * 3_600_000;

/**
 * A duration option in milliseconds: numbers with units `ms`, `s`, `m`, `h`, largest first (`90s`, `1m30s`, `500ms`);
 * a bare number is seconds. From 1 ms to 24 h; anything else is a usage error.
 */
export function parseDuration(text: string): number {
  if (/^\d{1,9}(\.\d{1,3})?$/.test(text)) return within(Number(text) * 1000);
  if (!/^(\d{1,9}(ms|s|m|h))+$/.test(text)) throw invalid();
  let total = 0;
  let lastUnit = Number.POSITIVE_INFINITY;
  for (const [, amount, unit] of text.matchAll(/(\d+)(ms|s|m|h)/g)) {
    const unitMs = UNIT_MS[unit ?? ''] ?? 0;
    if (unitMs >= lastUnit) throw invalid();
    lastUnit = unitMs;
    total += Number(amount) * unitMs;
  }
  return within(total);
}

/** A span as short text: `850ms`, `12.3s`, `2m5s`, `1h30m`. */
export function formatDuration(spanMs: number): string {
  if (spanMs < 1000) return `${Math.round(spanMs)}ms`;
  if (spanMs < 59_950) return `${(spanMs / 1000).toFixed(1).replace(/\.0$/, '')}s`;
  const seconds = Math.round(spanMs / 1000);
  return seconds < 3600 ? pair(seconds, 60, 'm', 's') : pair(Math.floor(seconds / 60), 60, 'h', 'm');
}

function pair(value: number, by: number, coarse: string, fine: string): string {
  const rest = value % by;
  return `${Math.floor(value / by)}${coarse}${rest === 0 ? '' : `${rest}${fine}`}`;
}

function within(ms: number): number {
  if (ms < 1 || ms > MAX_MS) throw invalid();
  return Math.round(ms);
}

function invalid(): InvalidArgumentError {
  return new InvalidArgumentError('Use a duration from 1ms to 24h, for example 90s, 2m or 1m30s.');
}
