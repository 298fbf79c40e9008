import type { ClientFrame, ServerFrame, V2Request, V2Response } from '../../src/index.js';
import type { V1Request, V1Response } from '../../src/v1/index.js';
import {
  address,
  auditEntry,
  auditReport,
  deepNetworkReport,
  endedInstanceView,
  guestProgram,
  hostInfo,
  instanceDetail,
  instanceView,
  net,
  networkDrops,
  networkPlan,
  networkPolicy,
  networkReport,
  poolNetworkPolicy,
  poolSpec,
  poolView,
  quotas,
  stoppedInstanceView,
  tenantView,
} from './objects.js';

/** At least one message per tag, so that a new tag without a sample does not compile; more under other names. */
type Samples<M extends { type: string }> = {
  readonly [K in M['type']]: Readonly<Record<string, Extract<M, { type: K }>>>;
};

export const v1Requests: Samples<V1Request> = {
  StartInstance: { plain: { type: 'StartInstance', ...address } },
  StopInstance: {
    plain: { type: 'StopInstance', ...address },
    unicode: {
      type: 'StopInstance',
      tenant_id: 'héllo "\\\u0000\b\f\n\r\t\u007f',
      pool_id: '😀',
      instance_id: '',
    },
  },
  SleepInstance: {
    timeout: { type: 'SleepInstance', ...address, force: true, drain_timeout_secs: 30 },
    'no-timeout': { type: 'SleepInstance', ...address, force: false, drain_timeout_secs: null },
    'largest-timeout': {
      type: 'SleepInstance',
      ...address,
      force: false,
      drain_timeout_secs: Number.MAX_SAFE_INTEGER,
    },
  },
  WakeInstance: { plain: { type: 'WakeInstance', ...address } },
  DestroyInstance: {
    wiping: { type: 'DestroyInstance', ...address, wipe_volumes: true },
    keeping: { type: 'DestroyInstance', ...address, wipe_volumes: false },
  },
  SetupNetwork: { plain: { type: 'SetupNetwork', tenant_id: 'acme', net } },
  TeardownNetwork: { plain: { type: 'TeardownNetwork', tenant_id: 'acme', net } },
  Ping: { plain: { type: 'Ping' } },
};

export const v1Responses: Samples<V1Response> = {
  Ok: { plain: { type: 'Ok' } },
  Pong: { plain: { type: 'Pong' } },
  Error: { plain: { type: 'Error', message: 'start failed: instance not found' } },
};

export const v2Requests: Samples<V2Request> = {
  ...v1Requests,
  StopInstance: {
    ...v1Requests.StopInstance,
    graceful: { type: 'StopInstance', ...address, force: false, shutdown_timeout_secs: 30 },
    'of-the-pool': { type: 'StopInstance', ...address, force: false },
  },
  EnsureTenant: {
    plain: { type: 'EnsureTenant', tenant_id: 'acme', net, quotas },
    policy: { type: 'EnsureTenant', tenant_id: 'acme', net, quotas, policy: networkPolicy },
  },
  RemoveTenant: { plain: { type: 'RemoveTenant', tenant_id: 'acme' } },
  EnsurePool: {
    plain: { type: 'EnsurePool', tenant_id: 'acme', pool_id: 'workers', spec: poolSpec },
    policy: {
      type: 'EnsurePool',
      tenant_id: 'acme',
      pool_id: 'workers',
      spec: { ...poolSpec, network_policy: poolNetworkPolicy },
    },
    program: {
      type: 'EnsurePool',
      tenant_id: 'acme',
      pool_id: 'workers',
      spec: { ...poolSpec, ...guestProgram },
    },
  },
  RemovePool: { plain: { type: 'RemovePool', tenant_id: 'acme', pool_id: 'workers' } },
  CreateInstance: {
    'chosen-id': { type: 'CreateInstance', ...address },
    'no-id': { type: 'CreateInstance', tenant_id: 'acme', pool_id: 'workers', instance_id: null },
  },
  WarmInstance: { plain: { type: 'WarmInstance', ...address } },
  ResumeInstance: { plain: { type: 'ResumeInstance', ...address } },
  RebootInstance: {
    plain: { type: 'RebootInstance', ...address },
    graceful: { type: 'RebootInstance', ...address, force: false, shutdown_timeout_secs: 30 },
    forced: { type: 'RebootInstance', ...address, force: true },
  },
  ListTenants: { 'first-page': { type: 'ListTenants', cursor: null, limit: null } },
  ListInstances: {
    all: { type: 'ListInstances', tenant_id: null, pool_id: null, cursor: null, limit: null },
    'next-page': { type: 'ListInstances', tenant_id: 'acme', pool_id: 'workers', cursor: 'c1', limit: 100 },
  },
  ListActivity: {
    all: { type: 'ListActivity', cursor: null, limit: null },
    'next-page': { type: 'ListActivity', cursor: 'c1', limit: 100 },
  },
  DescribeInstance: { plain: { type: 'DescribeInstance', ...address } },
  InstanceLogs: {
    tail: { type: 'InstanceLogs', ...address, stream: null, offset: null, max_bytes: null },
    piece: { type: 'InstanceLogs', ...address, stream: 'vmm', offset: 4096, max_bytes: 65_536 },
  },
  AuditLog: {
    all: { type: 'AuditLog', tenant_id: 'acme', since: null, cursor: null, limit: null },
    'next-page': {
      type: 'AuditLog',
      tenant_id: 'acme',
      since: '2026-11-23T10:00:00Z',
      cursor: 's500',
      limit: 100,
    },
  },
  VerifyAudit: {
    all: { type: 'VerifyAudit', tenant_id: null, cursor: null, limit: null },
    one: { type: 'VerifyAudit', tenant_id: 'acme', cursor: null, limit: null },
  },
  HostInfo: { plain: { type: 'HostInfo' } },
  VerifyNetwork: {
    host: { type: 'VerifyNetwork', tenant_id: null, deep: null },
    deep: { type: 'VerifyNetwork', tenant_id: 'acme', deep: true },
  },
  PlanNetwork: {
    'from-scratch': { type: 'PlanNetwork', tenant_id: 'acme', from_scratch: true },
    host: { type: 'PlanNetwork', tenant_id: null, from_scratch: null },
  },
  NetworkDrops: { plain: { type: 'NetworkDrops' } },
  WaitForChange: {
    first: { type: 'WaitForChange', seen: null, timeout_secs: null },
    next: { type: 'WaitForChange', seen: '0123456789abcdef-7', timeout_secs: 30 },
  },
  PlanRequest: {
    start: { type: 'PlanRequest', request: { type: 'StartInstance', ...address } },
    sleep: {
      type: 'PlanRequest',
      request: { type: 'SleepInstance', ...address, force: false, drain_timeout_secs: 30 },
    },
    ping: { type: 'PlanRequest', request: { type: 'Ping' } },
  },
  OpenStream: {
    exec: {
      type: 'OpenStream',
      ...address,
      open: {
        kind: 'exec',
        args: ['/bin/sh', '-c', 'echo "$A"'],
        env: ['A=b=c'],
        cwd: '/srv',
        user: 'app:staff',
        tty: { rows: 24, cols: 80 },
        stdin: true,
      },
    },
    connect: { type: 'OpenStream', ...address, open: { kind: 'connect', port: 8080 } },
    tree: { type: 'OpenStream', ...address, open: { kind: 'send_tree', path: '/srv/data' } },
  },
};

export const v2Responses: Samples<V2Response> = {
  Ok: { plain: { type: 'Ok' } },
  Pong: { plain: { type: 'Pong' } },
  Error: {
    'message-only': { type: 'Error', message: 'something failed' },
    coded: {
      type: 'Error',
      message: 'cannot start an instance that is running: no transition from running to running',
      code: 'failed_precondition',
      reason: 'instance.invalid_transition',
      retry: 'after-change',
      details: { operation: 'start', attempts: 1, forced: false, owner: null },
      hint: 'It is running already: there is nothing to do.',
    },
  },
  Tenant: {
    plain: { type: 'Tenant', ...tenantView },
    policy: { type: 'Tenant', ...tenantView, policy: networkPolicy },
  },
  Pool: {
    plain: { type: 'Pool', ...poolView },
    policy: { type: 'Pool', ...poolView, network_policy: poolNetworkPolicy },
    program: { type: 'Pool', ...poolView, ...guestProgram },
  },
  Instance: {
    running: { type: 'Instance', ...instanceView },
    stopped: { type: 'Instance', ...stoppedInstanceView },
    ended: { type: 'Instance', ...endedInstanceView },
  },
  Tenants: {
    plain: { type: 'Tenants', tenants: [{ ...tenantView, pools: [poolView] }], next_cursor: null },
  },
  Instances: {
    plain: { type: 'Instances', instances: [instanceView, stoppedInstanceView], next_cursor: 'c2' },
    empty: { type: 'Instances', instances: [], next_cursor: null },
  },
  InstanceDetail: { plain: { type: 'InstanceDetail', ...instanceDetail } },
  Activity: {
    plain: {
      type: 'Activity',
      activity: [
        {
          ...address,
          status: 'running',
          pid: 4711,
          cpu_usec: 1_250_000,
          rx_bytes: 74_120,
          rx_packets: 512,
          tx_bytes: 90_004,
          tx_packets: 498,
        },
      ],
      monotonic_ms: 86_400_000,
      next_cursor: null,
    },
    unknown: {
      type: 'Activity',
      activity: [
        {
          ...address,
          status: 'warm',
          pid: 4712,
          cpu_usec: null,
          rx_bytes: null,
          rx_packets: null,
          tx_bytes: null,
          tx_packets: null,
        },
      ],
      monotonic_ms: 86_400_010,
      next_cursor: 'c2',
    },
  },
  Logs: {
    plain: {
      type: 'Logs',
      stream: 'console',
      offset: 0,
      next_offset: 16,
      data_base64: 'bXZtLWd1ZXN0IHJlYWR5Cg==',
      truncated: false,
    },
  },
  AuditEntries: {
    plain: {
      type: 'AuditEntries',
      entries: [{ ...auditEntry, seq: null, peer: null, details: {} }, auditEntry],
      next_cursor: 's1',
    },
  },
  AuditReports: { plain: { type: 'AuditReports', reports: [auditReport], next_cursor: null } },
  Host: { plain: { type: 'Host', ...hostInfo } },
  NetworkReport: {
    drifted: { type: 'NetworkReport', ...networkReport },
    deep: { type: 'NetworkReport', ...deepNetworkReport },
  },
  NetworkPlan: { plain: { type: 'NetworkPlan', ...networkPlan } },
  NetworkDrops: { plain: { type: 'NetworkDrops', ...networkDrops } },
  Changes: {
    some: { type: 'Changes', cursor: '0123456789abcdef-8', changed: true },
    none: { type: 'Changes', cursor: '0123456789abcdef-7', changed: false },
  },
  Plan: {
    warm: {
      type: 'Plan',
      operation: 'warm',
      on_failure: 'undo',
      steps: [
        { kind: 'vm.pause', object: 'tn3i5', what: 'stop its vCPUs', args: { vm_id: 'tn3i5' } },
        {
          kind: 'instance.commit_warm',
          object: 'acme/workers/i-a3f7b2c1',
          what: 'record it as warm',
          args: { address: { ...address }, at: '2026-11-23T10:05:00.000Z' },
        },
      ],
      notes: ['a start of this instance is under way: this would wait for it'],
    },
    nothing: { type: 'Plan', operation: 'ping', on_failure: null, steps: [], notes: [] },
  },
  StreamOpened: { plain: { type: 'StreamOpened' } },
};

/** Frames of version 2 that carry neither a request nor a response. */
export const helloFrame: ClientFrame = { type: 'Hello', versions: [2], client: 'mvm-agentd/0.1.0' };
export const greetingFrames: Readonly<Record<string, ServerFrame>> = {
  Welcome: { type: 'Welcome', version: 2, server: 'mvm-hostd/0.1.0', features: ['logs'] },
  Error: {
    type: 'Error',
    message: 'no common protocol version: offered 9, supported 1, 2',
    code: 'protocol_mismatch',
    reason: 'protocol.no_common_version',
    retry: 'never',
  },
  event: { type: 'event', event: { anything: [1, 'two', null] } },
};
