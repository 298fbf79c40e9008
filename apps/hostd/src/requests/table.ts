import { auditLog, verifyAudit } from './audit.js';
import type { RequestHandler, RequestType } from './handler.js';
import { hostInfo, ping } from './host-info.js';
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
import { resumeInstance, sleepInstance, wakeInstance, warmInstance } from './suspend.js';

/** What is known of a type of request besides how it is answered. */
export interface RequestEntry<T extends RequestType> {
  readonly handle: RequestHandler<T>;
  /** Name in logs and audit lines. */
  readonly operation: string;
  /** Whether it changes something: then it is logged, and audited. */
  readonly mutates: boolean;
  /** What a version 1 peer expects in front of a failure's message; also put there for version 2. */
  readonly failurePrefix: string | null;
}

/** Every request that hostd answers; one without an entry does not compile. Source of the prefixes: docs/protocol.md. */
export const requestTable: { readonly [T in RequestType]: RequestEntry<T> } = {
  Ping: { handle: ping, operation: 'ping', mutates: false, failurePrefix: null },
  HostInfo: { handle: hostInfo, operation: 'host_info', mutates: false, failurePrefix: null },
  StartInstance: {
    handle: startInstance,
    operation: 'start',
    mutates: true,
    failurePrefix: 'start failed: ',
  },
  StopInstance: { handle: stopInstance, operation: 'stop', mutates: true, failurePrefix: 'stop failed: ' },
  SleepInstance: {
    handle: sleepInstance,
    operation: 'sleep',
    mutates: true,
    failurePrefix: 'sleep failed: ',
  },
  WakeInstance: { handle: wakeInstance, operation: 'wake', mutates: true, failurePrefix: 'wake failed: ' },
  DestroyInstance: {
    handle: destroyInstance,
    operation: 'destroy',
    mutates: true,
    failurePrefix: 'destroy failed: ',
  },
  SetupNetwork: {
    handle: setupNetwork,
    operation: 'setup_network',
    mutates: true,
    failurePrefix: 'setup network failed: ',
  },
  TeardownNetwork: {
    handle: teardownNetwork,
    operation: 'teardown_network',
    mutates: true,
    failurePrefix: 'teardown network failed: ',
  },
  EnsureTenant: { handle: ensureTenant, operation: 'ensure_tenant', mutates: true, failurePrefix: null },
  RemoveTenant: { handle: removeTenant, operation: 'remove_tenant', mutates: true, failurePrefix: null },
  EnsurePool: { handle: ensurePool, operation: 'ensure_pool', mutates: true, failurePrefix: null },
  RemovePool: { handle: removePool, operation: 'remove_pool', mutates: true, failurePrefix: null },
  CreateInstance: { handle: createInstance, operation: 'create', mutates: true, failurePrefix: null },
  WarmInstance: { handle: warmInstance, operation: 'warm', mutates: true, failurePrefix: null },
  ResumeInstance: { handle: resumeInstance, operation: 'resume', mutates: true, failurePrefix: null },
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
