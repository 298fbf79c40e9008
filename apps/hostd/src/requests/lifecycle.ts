import { parseTenantId } from '@mvm/protocol';
import type { StopOptions } from '../operations/shut-down-guest.js';
import type { RequestHandler, RequestOf } from './handler.js';
import { parseInstanceAddress } from './ids.js';

export const startInstance: RequestHandler<'StartInstance'> = async (request, { instances }, context) => {
  await instances.start(parseInstanceAddress(request), context);
  return { type: 'Ok' };
};

/** Without a word on it, a stop is what version 1 knows: at once. */
export function stopOptions(request: RequestOf<'StopInstance'>): StopOptions {
  return { force: request.force ?? true, shutdownTimeoutSecs: request.shutdown_timeout_secs ?? null };
}

export const stopInstance: RequestHandler<'StopInstance'> = async (request, { instances }, context) => {
  await instances.stop(parseInstanceAddress(request), stopOptions(request), context);
  return { type: 'Ok' };
};

export const destroyInstance: RequestHandler<'DestroyInstance'> = async (request, { instances }, context) => {
  await instances.destroy(parseInstanceAddress(request), request.wipe_volumes, context);
  return { type: 'Ok' };
};

export const setupNetwork: RequestHandler<'SetupNetwork'> = async (request, { tenants }, context) => {
  await tenants.ensureTenant(parseTenantId(request.tenant_id), request.net, null, context);
  return { type: 'Ok' };
};

export const teardownNetwork: RequestHandler<'TeardownNetwork'> = async (request, { tenants }, context) => {
  await tenants.teardownNetwork(parseTenantId(request.tenant_id), request.net, context);
  return { type: 'Ok' };
};
