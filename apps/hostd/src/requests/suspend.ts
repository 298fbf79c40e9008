import { assertTransition, CodedError } from '@mvm/protocol';
import type { InstanceAddress } from '../state/layout.js';
import { requireInstance } from '../state/store.js';
import type { RequestHandler, RequestServices } from './handler.js';
import { parseInstanceAddress } from './ids.js';

/** Refuses what would be refused anyway (ids, existence, transition), then says that it cannot be done. */
function refuse(address: InstanceAddress, operation: 'sleep' | 'wake', { effects }: RequestServices): never {
  assertTransition(requireInstance(effects.store, address).status, operation);
  throw new CodedError({
    code: 'unimplemented',
    reason: 'instance.suspend_unimplemented',
    message: `this hostd cannot ${operation} an instance`,
    hint: 'Stop the instance instead; its data volume is kept.',
  });
}

export const sleepInstance: RequestHandler<'SleepInstance'> = async (request, services) =>
  refuse(parseInstanceAddress(request), 'sleep', services);

export const wakeInstance: RequestHandler<'WakeInstance'> = async (request, services) =>
  refuse(parseInstanceAddress(request), 'wake', services);
