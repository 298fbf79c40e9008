import { ipv4Text } from './grammar.js';
import type { NetStep } from './types.js';

/**
 * The script for `conntrack -R -` that ends tracked connections: of each address those that it opened and those that
 * answer from it, whatever was translated on the way; empty when there are none. Throws `invalid_argument` for what is no
 * address. Source: conntrack(8), `--load-file`.
 */
export function renderConntrackScript(steps: readonly NetStep[]): string {
  return steps
    .flatMap((step) => (step.kind === 'flows.forget' ? [ipv4Text(step.address)] : []))
    .map((address) => `-D -s ${address}\n-D -r ${address}\n`)
    .join('');
}
