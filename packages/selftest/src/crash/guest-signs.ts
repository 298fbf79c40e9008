import { until } from '@mvm/node-host';
import type { CrashHost } from './crash-host.js';
import type { InstanceAddress } from './targets.js';

/** What a guest has said on its console: its greeting with its boot id, and the highest number it has counted to. */
export interface GuestSigns {
  readonly bootId: string | null;
  readonly count: number;
}

/** Where the console stands now. */
export async function consoleEnd({ client }: CrashHost, address: InstanceAddress): Promise<number> {
  const chunk = await client.request({ type: 'InstanceLogs', ...address });
  return chunk.next_offset;
}

/** What the guest has said from `offset` on. Guests of other images than the demo's say nothing that is understood. */
export async function guestSigns(
  { client }: CrashHost,
  address: InstanceAddress,
  offset: number,
): Promise<GuestSigns> {
  const { data_base64 } = await client.request({ type: 'InstanceLogs', ...address, offset });
  const text = Buffer.from(data_base64, 'base64').toString('latin1');
  const greetings = [...text.matchAll(/mvm-guest ready .*boot_id=([0-9a-f-]{36})/g)];
  const counts = [...text.matchAll(/alive count=(\d+)/g)].map((match) => Number(match[1]));
  return { bootId: greetings.at(-1)?.[1] ?? null, count: Math.max(0, ...counts) };
}

/** Waits for a guest's greeting after `offset`; null when it says nothing for `timeoutMs`. */
export async function awaitGreeting(
  host: CrashHost,
  address: InstanceAddress,
  offset: number,
  timeoutMs: number,
): Promise<string | null> {
  return await until('the greeting', async () => (await guestSigns(host, address, offset)).bootId, {
    timeoutMs,
    everyMs: 20,
  }).catch(() => null);
}
