import type { OperationResult } from '@mvm/agentd-api';
import { type Command, Option } from 'commander';
import { formatAddress } from '../address/address.js';
import type { CliContext } from '../context.js';
import { formatDuration, parseDuration } from '../format/duration.js';
import type { Invocation } from '../invocation.js';

/** The option of operations after which agentd leaves an instance alone for a while. */
export function addHoldOption(command: Command): void {
  command.addOption(
    new Option(
      '--hold <duration>',
      'how long agentd keeps it in this state, 0s: not at all (default: 15m)',
    ).argParser(parseHold),
  );
}

/** A duration, or nothing at all. */
function parseHold(text: string): number {
  return /^0(ms|s|m|h)?$/.test(text) ? 0 : parseDuration(text);
}

/** What the option is in the API's query; agentd's default when it was not given. */
export function holdQuery(invocation: Invocation): { hold_seconds?: number } {
  const holdMs = invocation.number('hold');
  return holdMs === undefined ? {} : { hold_seconds: Math.ceil(holdMs / 1000) };
}

/** A hold of so little, which `--hold 1s` asks for, is none to speak of. */
const BRIEF_MS = 1_500;

/** Tells how long each instance stays as it is now, and which command ends that. */
export function sayHolds(
  context: CliContext,
  results: readonly OperationResult[],
  { state, undo }: { readonly state: string; readonly undo: string },
): void {
  for (const { hold, ...instance } of results) {
    if (hold === null) continue;
    const restMs = Date.parse(hold.until) - context.nowMs();
    if (restMs < BRIEF_MS) continue;
    const rest = formatDuration(restMs);
    context.say(`${formatAddress(instance)} stays ${state} for ${rest}, or until "mvm instance ${undo}"`);
  }
}
