import { parseInstanceAddress, parsePoolAddress } from '../operations/addresses.js';
import { createInstance, parseCreate } from '../operations/create-instance.js';
import { destroy, parseDestroy } from '../operations/destroy.js';
import { ensurePool, parseEnsurePool } from '../operations/ensure-pool.js';
import { ensureTenant, parseEnsureTenant, parseSetupNetwork } from '../operations/ensure-tenant.js';
import type { InstanceOperation, RecordOperation } from '../operations/operation.js';
import type { OperationContext } from '../operations/operation-context.js';
import { parseReboot, reboot } from '../operations/reboot.js';
import { removePool } from '../operations/remove-pool.js';
import { parseRemoveTenant, removeTenant } from '../operations/remove-tenant.js';
import { resume } from '../operations/resume.js';
import { parseSleep, sleep } from '../operations/sleep.js';
import { start } from '../operations/start.js';
import { parseStop, stop } from '../operations/stop.js';
import { parseTeardownNetwork, teardownNetwork } from '../operations/teardown-network.js';
import { wake } from '../operations/wake.js';
import { warm } from '../operations/warm.js';
import { listActivity } from './activity.js';
import { auditLog, verifyAudit } from './audit.js';
import type { PlannableMethod, RequestEntry, RequestServices } from './handler.js';
import { hostInfo, ping, waitForChange } from './host-info.js';
import { describeInstance, instanceLogs } from './instance-details.js';
import { listInstances, listTenants } from './lists.js';
import { networkDrops, planNetwork, verifyNetwork } from './network.js';
import { instanceView, poolView, tenantView } from './views.js';

interface InstanceRequest {
  readonly tenant_id: string;
  readonly pool_id: string;
  readonly instance_id: string;
}

const noOptions = (): void => {};

/** A method that runs an operation on one instance. */
function onInstance<R extends InstanceRequest, O, P>(
  operation: InstanceOperation<O, P>,
  parseOptions: (request: R) => O,
) {
  return {
    handle: async (request: R, { runner }: RequestServices, context: OperationContext) => {
      await runner.run(operation, parseInstanceAddress(request), parseOptions(request), context);
      return { type: 'Ok' as const };
    },
    plan: async (request: R, { runner }: Pick<RequestServices, 'runner'>) =>
      await runner.dryRun(operation, parseInstanceAddress(request), parseOptions(request)),
  };
}

/** A method that runs an operation on records, with the view of what is recorded then. */
function onRecords<R, I, T, P, V>(
  operation: RecordOperation<I, T, P>,
  parse: (request: R) => I,
  view: (record: T, services: RequestServices) => V,
) {
  return {
    handle: async (request: R, services: RequestServices, context: OperationContext) =>
      view(await services.runner.runOnRecords(operation, parse(request), context), services),
    plan: async (request: R, { runner }: Pick<RequestServices, 'runner'>) =>
      await runner.dryRunOnRecords(operation, parse(request)),
  };
}

const ok = () => ({ type: 'Ok' as const });

/** How every method is answered; one without an entry does not compile. What each method is, `METHODS` tells. */
export const requestTable: { readonly [M in PlannableMethod]: RequestEntry<M> } = {
  Ping: { handle: ping },
  WaitForChange: { handle: waitForChange },
  HostInfo: { handle: hostInfo },
  StartInstance: onInstance(start, noOptions),
  StopInstance: onInstance(stop, parseStop),
  SleepInstance: onInstance(sleep, parseSleep),
  WakeInstance: onInstance(wake, noOptions),
  WarmInstance: onInstance(warm, noOptions),
  ResumeInstance: onInstance(resume, noOptions),
  RebootInstance: onInstance(reboot, parseReboot),
  DestroyInstance: onInstance(destroy, parseDestroy),
  SetupNetwork: onRecords(ensureTenant, parseSetupNetwork, ok),
  TeardownNetwork: onRecords(teardownNetwork, parseTeardownNetwork, ok),
  EnsureTenant: onRecords(ensureTenant, parseEnsureTenant, (tenant) => ({
    type: 'Tenant',
    ...tenantView(tenant),
  })),
  RemoveTenant: onRecords(removeTenant, parseRemoveTenant, ok),
  EnsurePool: onRecords(ensurePool, parseEnsurePool, (pool) => ({ type: 'Pool', ...poolView(pool) })),
  RemovePool: onRecords(removePool, parsePoolAddress, ok),
  CreateInstance: onRecords(createInstance, parseCreate, (instance, services) => ({
    type: 'Instance',
    ...instanceView(instance, services),
  })),
  ListTenants: { handle: listTenants },
  ListInstances: { handle: listInstances },
  ListActivity: { handle: listActivity },
  DescribeInstance: { handle: describeInstance },
  InstanceLogs: { handle: instanceLogs },
  VerifyNetwork: { handle: verifyNetwork },
  PlanNetwork: { handle: planNetwork },
  NetworkDrops: { handle: networkDrops },
  AuditLog: { handle: auditLog },
  VerifyAudit: { handle: verifyAudit },
};
