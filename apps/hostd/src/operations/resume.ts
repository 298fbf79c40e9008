import { planResume } from '../plan/plan-pause.js';
import { requireInstance } from '../state/store.js';
import type { InstanceOperation } from './operation.js';

/** Lets a warm instance run on. Throws what `planResume` throws, and `not_found`. */
export const resume: InstanceOperation<void> = {
  name: 'resume',
  needsVm: true,
  plan: ({ address }, _prepared, { store, clock }) => ({
    plan: planResume(requireInstance(store, address), { now: clock.now() }),
  }),
};
