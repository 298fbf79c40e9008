/**
 * How often systemd expects `WATCHDOG=1` of this process, in milliseconds; null when it does not watch this process. Pure.
 * Source: sd_watchdog_enabled(3).
 */
export function watchdogIntervalMs(
  environment: Readonly<Record<string, string | undefined>>,
  pid: number,
): number | null {
  const usec = Number(environment.WATCHDOG_USEC ?? Number.NaN);
  if (!Number.isSafeInteger(usec) || usec <= 0) return null;
  if (environment.WATCHDOG_PID !== undefined && environment.WATCHDOG_PID !== String(pid)) return null;
  return usec / 1000;
}
