import type { NetworkProbe } from '@mvm/protocol';
import { type BlockedProbe, FRAMES_PER_PROBE } from './blocked-probes.js';

/** Counts of the drop counters, by name. */
export type Counts = ReadonlyMap<string, number>;

/** What was seen of one probe. */
export interface Sighting {
  /** Whether an answer came back to the sender. */
  readonly answered: boolean;
  /** Whether the other tenant's peer received a frame of it. */
  readonly delivered: boolean;
  readonly before: Counts;
  readonly after: Counts;
  /** Whether the host has a way out by an uplink. */
  readonly hasUplink: boolean;
  /** Whether verify finds no difference, before and after; asked only when it decides. */
  readonly intact: boolean;
}

function rise(name: string, { before, after }: Sighting): number {
  return (after.get(name) ?? 0) - (before.get(name) ?? 0);
}

/**
 * The result of a probe that must be blocked. Blocked is: no answer came, it was not received, and a counter that is
 * there for it counted every frame. Without the count, "blocked" would be no more than "nothing works".
 */
export function evaluateProbe(probe: BlockedProbe, sighting: Sighting): NetworkProbe {
  const { name, sends, counters, leaves } = probe;
  const result = (
    outcome: NetworkProbe['outcome'],
    detail: string,
    counter: string | null,
  ): NetworkProbe => ({
    name,
    expects: 'blocked',
    outcome,
    detail: `${FRAMES_PER_PROBE} ${sends}: ${detail}`,
    counter,
  });
  const [usual = null] = counters;
  if (sighting.delivered) return result('not_as_wanted', 'the other tenant received them', usual);
  if (sighting.answered) return result('not_as_wanted', 'answered', usual);
  if (counters.length === 0) return result('as_wanted', 'neither received nor answered', null);
  const counted = counters.find((counter) => rise(counter, sighting) >= FRAMES_PER_PROBE);
  if (counted !== undefined) return result('as_wanted', 'dropped and counted', counted);
  if (leaves && !sighting.hasUplink) {
    return result('skipped', 'this host has no uplink, so the kernel has no way for them', usual);
  }
  if (sighting.intact) {
    return result(
      'skipped',
      `no answer, and ${counters.join(', ')} did not count them though every rule stands: other software, or the kernel, dropped them before mvm’s rules ("sudo mvm doctor" looks at other software)`,
      usual,
    );
  }
  return result(
    'not_as_wanted',
    `no answer, but ${counters.join(', ')} did not count them: our rules are not what stopped them`,
    usual,
  );
}
