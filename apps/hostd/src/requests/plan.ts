import { parseInstanceId, parseTenantId } from '@mvm/protocol';
import type { PlainOperation } from '../operations/instance-planner.js';
import type { PlannedOperation } from '../operations/planned-operation.js';
import type { RequestOf, RequestServices, RequestType } from './handler.js';
import { parseInstanceAddress, parsePoolAddress } from './ids.js';
import { stopOptions } from './lifecycle.js';
import { tenantWish } from './objects.js';

/**
 * What one type of request would do: as its handler, up to the point where something would be changed. Ids are validated
 * here, before anything else; errors are those that the handler would throw.
 */
export type RequestPlanner<T extends RequestType> = (
  request: RequestOf<T>,
  services: Pick<RequestServices, 'planners'>,
) => Promise<PlannedOperation>;

type OfInstance = 'StartInstance' | 'WakeInstance' | 'WarmInstance' | 'ResumeInstance';

function instancePlanner<T extends OfInstance>(operation: PlainOperation): RequestPlanner<T> {
  return async (request, { planners }) =>
    planners.instances.plan(parseInstanceAddress(request), { operation });
}

export const planStart = instancePlanner<'StartInstance'>('start');
export const planWake = instancePlanner<'WakeInstance'>('wake');
export const planWarm = instancePlanner<'WarmInstance'>('warm');
export const planResume = instancePlanner<'ResumeInstance'>('resume');

export const planSleep: RequestPlanner<'SleepInstance'> = async (request, { planners }) => {
  const options = { force: request.force, drainTimeoutSecs: request.drain_timeout_secs ?? null };
  return planners.instances.plan(parseInstanceAddress(request), { operation: 'sleep', options });
};

export const planStop: RequestPlanner<'StopInstance'> = async (request, { planners }) =>
  planners.instances.plan(parseInstanceAddress(request), {
    operation: 'stop',
    options: stopOptions(request),
  });

export const planDestroy: RequestPlanner<'DestroyInstance'> = async (request, { planners }) =>
  planners.instances.plan(parseInstanceAddress(request), {
    operation: 'destroy',
    wipeVolumes: request.wipe_volumes,
  });

export const planSetupNetwork: RequestPlanner<'SetupNetwork'> = async (request, { planners }) =>
  planners.tenants.ensureTenant(parseTenantId(request.tenant_id), request.net, null);

export const planTeardownNetwork: RequestPlanner<'TeardownNetwork'> = async (request, { planners }) =>
  planners.tenants.teardownNetwork(parseTenantId(request.tenant_id), request.net);

export const planEnsureTenant: RequestPlanner<'EnsureTenant'> = async (request, { planners }) =>
  planners.tenants.ensureTenant(parseTenantId(request.tenant_id), request.net, tenantWish(request));

export const planRemoveTenant: RequestPlanner<'RemoveTenant'> = async (request, { planners }) =>
  planners.tenants.removeTenant(parseTenantId(request.tenant_id));

export const planEnsurePool: RequestPlanner<'EnsurePool'> = async (request, { planners }) =>
  planners.tenants.ensurePool(parsePoolAddress(request), request.spec);

export const planRemovePool: RequestPlanner<'RemovePool'> = async (request, { planners }) =>
  planners.tenants.removePool(parsePoolAddress(request));

export const planCreate: RequestPlanner<'CreateInstance'> = async (request, { planners }) => {
  const pool = parsePoolAddress(request);
  const id = request.instance_id == null ? null : parseInstanceId(request.instance_id);
  return planners.tenants.createInstance(pool, id);
};
