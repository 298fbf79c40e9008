import { setTimeout as sleep } from 'node:timers/promises';
import type { Mvm } from './mvm.js';

/** What one guest said about itself on its own console. */
export interface Greeting {
  /** `<tenant>/<pool>/<instance>` as hostd has it. */
  readonly instance: string;
  /** The guest's line as it printed it. */
  readonly line: string;
}

/**
 * Each guest's greeting, out of its console log, once all have printed theirs. Rejects when one does not within
 * `timeoutMs`, with what is on its console, says that it is somebody else, or could not ping its gateway.
 * @param onProgress told how many have greeted so far
 */
export async function collectGreetings(
  mvm: Mvm,
  instances: readonly string[],
  options: { timeoutMs: number; onProgress: (greeted: number) => void; signal: AbortSignal },
): Promise<Greeting[]> {
  const deadline = performance.now() + options.timeoutMs;
  const lines = new Map<string, string>();
  for (;;) {
    for (const instance of instances) {
      if (lines.has(instance)) continue;
      const line = findGreeting(await mvm.read(['instance', 'logs', instance]));
      if (line !== null) lines.set(instance, line);
    }
    options.onProgress(lines.size);
    if (lines.size === instances.length) break;
    if (performance.now() > deadline) {
      const silent = instances.filter((instance) => !lines.has(instance));
      const consoles = await Promise.all(
        silent.map(async (instance) => `${instance}:\n${await mvm.read(['instance', 'logs', instance])}`),
      );
      throw new Error(
        `no greeting on the console of ${silent.join(', ')} within ${options.timeoutMs / 1000} s\n${consoles.join('\n')}`,
      );
    }
    await sleep(300, undefined, { signal: options.signal });
  }
  return instances.map((instance) => {
    const line = lines.get(instance) ?? '';
    checkGreeting(instance, line);
    return { instance, line };
  });
}

/** The last greeting on a console (a restarted guest greets again); null when none is complete yet. */
export function findGreeting(console: string): string | null {
  const matches = console.match(/mvm-guest ready [^\r\n]*(?=[\r\n])/g);
  return matches?.at(-1)?.trim() ?? null;
}

/** Throws unless the guest is who hostd says it is, and has reached its gateway. */
export function checkGreeting(instance: string, line: string): void {
  const fields = Object.fromEntries(line.split(' ').map((field) => field.split('=')));
  const said = `${fields.tenant}/${fields.pool}/${fields.instance}`;
  if (said !== instance) throw new Error(`the guest on the console of ${instance} says that it is ${said}`);
  if (fields.gateway_ping !== 'ok') throw new Error(`${instance} did not reach its gateway: ${line}`);
}
