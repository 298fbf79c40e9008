/** What a guest's console tells about it. */
export interface ConsoleReading {
  /** The number that its heartbeat last came to; 0 before the first. */
  readonly count: number;
  /** The boot that greeted last; null before the first greeting. */
  readonly bootId: string | null;
  /** How often it has greeted: once per boot. */
  readonly greetings: number;
}

/** Reads a console log; a line without its end does not count. */
export function readConsole(console: string): ConsoleReading {
  const counts = [...console.matchAll(/mvm-guest alive count=(\d+)[\r\n]/g)];
  const boots = [...console.matchAll(/mvm-guest ready [^\r\n]*boot_id=([0-9a-f-]+)[\r\n]/g)];
  return {
    count: Number(counts.at(-1)?.[1] ?? 0),
    bootId: boots.at(-1)?.[1] ?? null,
    greetings: boots.length,
  };
}

/** The guest's own lines from the one in which it counts to `count` to the one after it says that it is awake. */
export function linesAround(console: string, count: number): string[] {
  const whole = console.slice(0, console.lastIndexOf('\n') + 1);
  const lines = whole.split(/[\r\n]+/).filter((line) => line.startsWith('mvm-guest '));
  const first = lines.indexOf(`mvm-guest alive count=${count}`);
  if (first < 0) return [];
  const awake = lines.findIndex((line, index) => index > first && line.startsWith('mvm-guest awake '));
  return lines.slice(first, Math.max(awake, first + 1) + 2);
}

/** Throws unless the guest has counted on, in the boot in which it was. */
export function checkContinuity(instance: string, before: ConsoleReading, after: ConsoleReading): void {
  if (after.bootId !== before.bootId || after.greetings !== before.greetings) {
    throw new Error(`${instance} was booted again: ${before.bootId} became ${after.bootId}`);
  }
  if (after.count < before.count) {
    throw new Error(`${instance} had counted to ${before.count} and counts ${after.count}`);
  }
}
