import type { V2Request, V2Response } from '@mvm/protocol';

/** Which response answers which request, unless an Error does. Source: docs/protocol.md. */
export const RESPONSE_TYPES = {
  Ping: 'Pong',
  StartInstance: 'Ok',
  StopInstance: 'Ok',
  SleepInstance: 'Ok',
  WakeInstance: 'Ok',
  DestroyInstance: 'Ok',
  SetupNetwork: 'Ok',
  TeardownNetwork: 'Ok',
  EnsureTenant: 'Tenant',
  RemoveTenant: 'Ok',
  EnsurePool: 'Pool',
  RemovePool: 'Ok',
  CreateInstance: 'Instance',
  WarmInstance: 'Ok',
  ResumeInstance: 'Ok',
  ListTenants: 'Tenants',
  ListInstances: 'Instances',
  DescribeInstance: 'InstanceDetail',
  InstanceLogs: 'Logs',
  AuditLog: 'AuditEntries',
  VerifyAudit: 'AuditReports',
  HostInfo: 'Host',
  VerifyNetwork: 'NetworkReport',
  PlanNetwork: 'NetworkPlan',
  NetworkDrops: 'NetworkDrops',
  PlanRequest: 'Plan',
} as const satisfies Record<V2Request['type'], Exclude<V2Response['type'], 'Error'>>;

/** The response to a request: `ResponseTo<{type: 'HostInfo'}>` is the `Host` response. */
export type ResponseTo<R extends V2Request> = Extract<
  V2Response,
  { type: (typeof RESPONSE_TYPES)[R['type']] }
>;

// Requests that change nothing: sending one again after a lost connection does no harm.
const READ_ONLY: ReadonlySet<V2Request['type']> = new Set([
  'Ping',
  'ListTenants',
  'ListInstances',
  'DescribeInstance',
  'InstanceLogs',
  'AuditLog',
  'VerifyAudit',
  'HostInfo',
  'VerifyNetwork',
  'PlanNetwork',
  'NetworkDrops',
  'PlanRequest',
] as const);

/** Whether a request changes nothing, so that it may be sent again when its answer was lost. */
export function isReadOnly(request: V2Request): boolean {
  return READ_ONLY.has(request.type);
}

/** Whether a response is the one that answers this request (and no Error). */
export function answers<R extends V2Request>(request: R, response: V2Response): response is ResponseTo<R> {
  return response.type === RESPONSE_TYPES[request.type];
}
