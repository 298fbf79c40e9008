import { assertTransition } from '@mvm/protocol/state';
import type { Plan, Step } from '../execute/step.js';
import { planStart, type StartInput } from './plan-start.js';
import { cleaningSteps, killStep } from './plan-stop.js';

/**
 * Steps of a reboot: what a stop takes away, then what a start makes, with one commit at the end. Until then the record
 * says what it said before. Pure. Throws `instance.invalid_transition`, and what `planStart` throws.
 */
export function planReboot(input: StartInput, context: { readonly now: string }): Plan {
  const { tenant, instance, vmUidBase } = input;
  assertTransition(instance.status, 'reboot');
  const boot = planStart({ ...input, instance: { ...instance, status: 'stopped' } }, context);
  // The image comes first: without it the running VM is left alone.
  const isImage = ({ kind }: Step): boolean => kind === 'image.activate';
  return {
    ...boot,
    operation: 'reboot',
    onFailure: 'finish',
    steps: [
      ...boot.steps.filter(isImage),
      ...killStep(instance),
      ...cleaningSteps({ tenant, instance, vmUidBase }),
      ...boot.steps.filter((step) => !isImage(step)),
    ],
  };
}
