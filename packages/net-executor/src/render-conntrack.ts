import { ipv4Text } from './grammar.js';
import type { NetStep } from './types.js';

/**
 * The calls of `conntrack` that make a step, by their arguments: an address loses the connections that it opened, and
 * those that answer from it, whatever was translated on the way. None for steps that `conntrack` does not make. Throws
 * `invalid_argument` for what is no address. Source: conntrack(8).
 */
export function conntrackCalls(step: NetStep): string[][] {
  if (step.kind !== 'flows.forget') return [];
  const address = ipv4Text(step.address);
  return [
    ['-D', '--orig-src', address],
    ['-D', '--reply-src', address],
  ];
}
