import type { RequestOf } from '@mvm/protocol';
import { planDestroy } from '../plan/plan-destroy.js';
import { endInput, type InstanceOperation } from './operation.js';

export interface DestroyOptions {
  /** Overwrite the disks before they are removed. */
  readonly wipeVolumes: boolean;
}

export function parseDestroy(request: RequestOf<'DestroyInstance'>): DestroyOptions {
  return { wipeVolumes: request.wipe_volumes };
}

/** Ends an instance from any state and removes what it has. Throws `not_found`. */
export const destroy: InstanceOperation<DestroyOptions> = {
  name: 'destroy',
  cancels: () => ['sleep', 'stop', 'reboot'],
  endsVm: () => 'force',
  plan: ({ address, options }, _prepared, deps) => ({ plan: planDestroy(endInput(address, deps), options) }),
};
