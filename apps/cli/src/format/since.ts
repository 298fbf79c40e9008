import { InvalidArgumentError } from 'commander';

const UNIT_MS: Readonly<Record<string, number>> = { s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** A moment in the past: an RFC 3339 time, or how long ago (`90s`, `15m`, `2h`, `7d`). */
export type Since = { readonly agoMs: number } | { readonly at: string };

/** Parses `--since`; anything that is neither a time nor a span is a usage error. Pure. */
export function parseSince(text: string): Since {
  const [, amount, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  if (amount !== undefined) return { agoMs: Number(amount) * (UNIT_MS[unit ?? ''] ?? 0) };
  const ms = /^\d{4}-\d{2}-\d{2}/.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(ms)) return { at: new Date(ms).toISOString() };
  throw new InvalidArgumentError(
    'Use a time (2026-11-25T08:00:00Z, 2026-11-25) or how long ago (15m, 2h, 7d).',
  );
}

/** The moment as RFC 3339, seen from `nowMs`. */
export function sinceTime(since: Since, nowMs: number): string {
  return 'at' in since ? since.at : new Date(nowMs - since.agoMs).toISOString();
}
