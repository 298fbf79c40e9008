import { auditLog, verifyAudit } from './audit.js';
import type { RequestHandler, RequestType } from './handler.js';
import { hostInfo, ping, waitForChange } from './host-info.js';
import { describeInstance, instanceLogs } from './instance-details.js';
import { destroyInstance, setupNetwork, startInstance, stopInstance, teardownNetwork } from './lifecycle.js';
import { networkDrops, planNetwork, verifyNetwork } from './network.js';
import {
  createInstance,
  ensurePool,
  ensureTenant,
  listInstances,
  listTenants,
  removePool,
  removeTenant,
} from './objects.js';
import {
  planCreate,
  planDestroy,
  planEnsurePool,
  planEnsureTenant,
  planRemovePool,
  planRemoveTenant,
  planResume,
  planSetupNetwork,
  planSleep,
  planStart,
  planStop,
  planTeardownNetwork,
  planWake,
  planWarm,
  type RequestPlanner,
} from './plan.js';
import { resumeInstance, sleepInstance, wakeInstance, warmInstance } from './suspend.js';

/** What is known of a type of request besides how it is answered. */
interface CommonEntry<T extends RequestType> {
  readonly handle: RequestHandler<T>;
  /** Name in logs and audit lines. */
  readonly operation: string;
  /** What a version 1 peer expects in front of a failure's message; also put there for version 2. */
  readonly failurePrefix: string | null;
}

/** A request that changes something is logged and audited, and it can be asked what it would do. */
export type RequestEntry<T extends RequestType> = CommonEntry<T> &
  ({ readonly mutates: false } | { readonly mutates: true; readonly plan: RequestPlanner<T> });

/** Every request that hostd answers; one without an entry does not compile. Source of the prefixes: docs/protocol.md. */
export const requestTable: { readonly [T in RequestType]: RequestEntry<T> } = {
  Ping: { handle: ping, operation: 'ping', mutates: false, failurePrefix: null },
  WaitForChange: {
    handle: waitForChange,
    operation: 'wait_for_change',
    mutates: false,
    failurePrefix: null,
  },
  HostInfo: { handle: hostInfo, operation: 'host_info', mutates: false, failurePrefix: null },
  StartInstance: {
    handle: startInstance,
    operation: 'start',
    mutates: true,
    plan: planStart,
    failurePrefix: 'start failed: ',
  },
  StopInstance: {
    handle: stopInstance,
    operation: 'stop',
    mutates: true,
    plan: planStop,
    failurePrefix: 'stop failed: ',
  },
  SleepInstance: {
    handle: sleepInstance,
    operation: 'sleep',
    mutates: true,
    plan: planSleep,
    failurePrefix: 'sleep failed: ',
  },
  WakeInstance: {
    handle: wakeInstance,
    operation: 'wake',
    mutates: true,
    plan: planWake,
    failurePrefix: 'wake failed: ',
  },
  DestroyInstance: {
    handle: destroyInstance,
    operation: 'destroy',
    mutates: true,
    plan: planDestroy,
    failurePrefix: 'destroy failed: ',
  },
  SetupNetwork: {
    handle: setupNetwork,
    operation: 'setup_network',
    mutates: true,
    plan: planSetupNetwork,
    failurePrefix: 'setup network failed: ',
  },
  TeardownNetwork: {
    handle: teardownNetwork,
    operation: 'teardown_network',
    mutates: true,
    plan: planTeardownNetwork,
    failurePrefix: 'teardown network failed: ',
  },
  EnsureTenant: {
    handle: ensureTenant,
    operation: 'ensure_tenant',
    mutates: true,
    plan: planEnsureTenant,
    failurePrefix: null,
  },
  RemoveTenant: {
    handle: removeTenant,
    operation: 'remove_tenant',
    mutates: true,
    plan: planRemoveTenant,
    failurePrefix: null,
  },
  EnsurePool: {
    handle: ensurePool,
    operation: 'ensure_pool',
    mutates: true,
    plan: planEnsurePool,
    failurePrefix: null,
  },
  RemovePool: {
    handle: removePool,
    operation: 'remove_pool',
    mutates: true,
    plan: planRemovePool,
    failurePrefix: null,
  },
  CreateInstance: {
    handle: createInstance,
    operation: 'create',
    mutates: true,
    plan: planCreate,
    failurePrefix: null,
  },
  WarmInstance: {
    handle: warmInstance,
    operation: 'warm',
    mutates: true,
    plan: planWarm,
    failurePrefix: null,
  },
  ResumeInstance: {
    handle: resumeInstance,
    operation: 'resume',
    mutates: true,
    plan: planResume,
    failurePrefix: null,
  },
  ListTenants: { handle: listTenants, operation: 'list_tenants', mutates: false, failurePrefix: null },
  ListInstances: { handle: listInstances, operation: 'list_instances', mutates: false, failurePrefix: null },
  DescribeInstance: { handle: describeInstance, operation: 'describe', mutates: false, failurePrefix: null },
  InstanceLogs: { handle: instanceLogs, operation: 'logs', mutates: false, failurePrefix: null },
  VerifyNetwork: { handle: verifyNetwork, operation: 'verify_network', mutates: false, failurePrefix: null },
  PlanNetwork: { handle: planNetwork, operation: 'plan_network', mutates: false, failurePrefix: null },
  NetworkDrops: { handle: networkDrops, operation: 'network_drops', mutates: false, failurePrefix: null },
  AuditLog: { handle: auditLog, operation: 'audit_log', mutates: false, failurePrefix: null },
  VerifyAudit: { handle: verifyAudit, operation: 'verify_audit', mutates: false, failurePrefix: null },
};
