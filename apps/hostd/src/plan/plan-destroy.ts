import { assertTransition } from '@mvm/protocol/state';
import type { Plan } from '../execute/step.js';
import { addressOf } from '../state/layout.js';
import { cleaningSteps, type EndInput, killStep } from './plan-stop.js';

/**
 * Steps of a destroy, legal from every state: the VM goes first, then its traces, then (when asked) the volumes are
 * overwritten, then the directory is removed in one step. Pure.
 */
export function planDestroy(input: EndInput, options: { readonly wipeVolumes: boolean }): Plan {
  assertTransition(input.instance.status, 'destroy');
  const address = addressOf(input.instance);
  return {
    operation: 'destroy',
    address,
    onFailure: 'finish',
    steps: [
      ...killStep(input.instance),
      ...cleaningSteps(input),
      ...(options.wipeVolumes ? [{ kind: 'volumes.wipe', address } as const] : []),
      { kind: 'instance.remove', address },
    ],
  };
}
