import { interfaceName, macText } from './grammar.js';
import type { NetStep } from './types.js';

/**
 * The one line of a `bridge -batch` script that makes a step; null for steps that `bridge` does not make. `replace` also
 * makes a learned entry static. Throws `invalid_argument` for a field outside the grammar. Source: bridge(8), "fdb".
 */
function renderBridgeLine(step: NetStep): string | null {
  if (step.kind === 'forwarding.add')
    return `fdb replace ${macText(step.mac)} dev ${interfaceName(step.port)} master static`;
  if (step.kind === 'forwarding.delete')
    return `fdb delete ${macText(step.mac)} dev ${interfaceName(step.port)} master`;
  return null;
}

/** The script for `bridge -batch -`, one line per step that `bridge` makes, in order; empty when there are none. */
export function renderBridgeBatch(steps: readonly NetStep[]): string {
  return steps
    .map(renderBridgeLine)
    .filter((line) => line !== null)
    .map((line) => `${line}\n`)
    .join('');
}
