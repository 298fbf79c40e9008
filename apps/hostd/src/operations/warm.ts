import { planWarm } from '../plan/plan-pause.js';
import { requireInstance, requireTenant } from '../state/store.js';
import type { InstanceOperation } from './operation.js';

/** Stops a running instance's vCPUs and keeps its memory. Throws what `planWarm` throws, and `not_found`. */
export const warm: InstanceOperation<void> = {
  name: 'warm',
  needsVm: true,
  plan: ({ address }, _prepared, { store, reservations, clock }) => {
    const instance = requireInstance(store, address);
    const tenant = requireTenant(store, address.tenant_id);
    const warmCount = reservations.warmCount(address.tenant_id, address);
    return {
      plan: planWarm({ tenant, instance, warmCount }, { now: clock.now() }),
      reservation: { check: () => {}, take: () => reservations.reserveWarm(address) },
    };
  },
};
