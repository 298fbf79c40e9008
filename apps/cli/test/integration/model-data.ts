import type {
  ApplyResult,
  InstanceInfo,
  PoolSummary,
  Status,
  TenantSummary,
  VersionInfo,
} from '@mvm/agentd-api';
import type {
  AuditEntryView,
  AuditReportView,
  HostInfo,
  InstanceStatus,
  NetworkDrops,
  NetworkPlan,
  NetworkReport,
  PlanView,
} from '@mvm/protocol';
import { type DesiredState, parseDesiredState } from '@mvm/protocol/state';

const DIGEST = `sha256:${'ab'.repeat(32)}`;
/** Fixed for a test run, so that asking twice gives the same answer. */
const START = Date.now();
const minutesAgo = (minutes: number) => new Date(START - minutes * 60_000).toISOString();

export const REVISION = '0123456789ab';

function instance(tenantId: string, poolId: string, number: number, status: InstanceStatus): InstanceInfo {
  const isRunning = status === 'running';
  return {
    tenant_id: tenantId,
    pool_id: poolId,
    instance_id: `i-0000000${number}`,
    status,
    status_since: minutesAgo(isRunning ? 5.5 : 1),
    role: 'worker',
    net: {
      tap_dev: `tn3i${number + 2}`,
      mac: `02:fc:00:03:00:0${number + 2}`,
      guest_ip: `10.240.3.${number + 2}`,
      gateway_ip: '10.240.3.1',
      cidr: '10.240.3.0/24',
    },
    image: { name: 'demo', digest: DIGEST },
    resources: { vcpus: 1, mem_mib: 128, data_disk_mib: 0 },
    pid: isRunning ? 1000 + number : null,
    created_at: minutesAgo(300),
    last_started_at: minutesAgo(5.5),
    last_stopped_at: isRunning ? null : minutesAgo(1),
    stop_reason: isRunning
      ? null
      : {
          kind: 'exited',
          message: 'the VMM ended with \u001b[31msignal 9',
          exit_code: null,
          signal: 'SIGKILL',
          console_tail: 'Kernel panic\u001b[0m\r\n',
          at: minutesAgo(1),
        },
    operation: null,
    agent_connected: isRunning ? true : null,
    runtime: isRunning
      ? {
          vmm: 'qemu',
          vmm_version: '7.2.22',
          accelerator: 'tcg',
          pid: 1000 + number,
          uid: 1_900_000_771,
          gid: 1_900_000_771,
          memory_max_bytes: 200 * 1024 * 1024,
          memory_current_bytes: 90 * 1024 * 1024,
          cpu_max_percent: 100,
          pids_max: 64,
          pids_current: 5,
        }
      : null,
    console_tail: isRunning ? 'mvm-guest ready\r\n' : '',
    hold: null,
  };
}

/** Deliberately not in order. */
export function instances(): InstanceInfo[] {
  return [
    instance('globex', 'api', 1, 'running'),
    instance('acme', 'web', 2, 'stopped'),
    instance('acme', 'web', 1, 'running'),
  ];
}

export function pools(all: readonly InstanceInfo[]): PoolSummary[] {
  return (
    [
      ['acme', 'web', 2],
      ['globex', 'api', 1],
    ] as const
  ).map(([tenantId, poolId, running]) => {
    const count = (status: InstanceStatus) =>
      all.filter((each) => each.tenant_id === tenantId && each.pool_id === poolId && each.status === status)
        .length;
    return {
      tenant_id: tenantId,
      pool_id: poolId,
      flake_ref: 'demo',
      profile: 'minimal',
      role: 'worker',
      instance_resources: { vcpus: 1, mem_mib: 128, data_disk_mib: 0 },
      desired_counts: { running, warm: 0, sleeping: 0 },
      runtime_policy: {
        min_running_seconds: 60,
        min_warm_seconds: 30,
        drain_timeout_seconds: 30,
        graceful_shutdown_seconds: 15,
      },
      seccomp_policy: 'baseline',
      snapshot_compression: 'none',
      secret_scopes: [],
      image: { name: 'demo', digest: DIGEST },
      instances: {
        created: count('created'),
        ready: count('ready'),
        running: count('running'),
        warm: count('warm'),
        sleeping: count('sleeping'),
        stopped: count('stopped'),
      },
    };
  });
}

export function tenants(all: readonly InstanceInfo[]): TenantSummary[] {
  return (
    [
      ['globex', 4],
      ['acme', 3],
    ] as const
  ).map(([tenantId, netId]) => ({
    tenant_id: tenantId,
    net: {
      tenant_net_id: netId,
      ipv4_subnet: `10.240.${netId}.0/24`,
      gateway_ip: `10.240.${netId}.1`,
      bridge_name: `br-tenant-${netId}`,
    },
    network_up: true,
    quotas: {
      max_vcpus: 16,
      max_mem_mib: 32_768,
      max_running: 8,
      max_warm: 4,
      max_pools: 4,
      max_instances_per_pool: 16,
      max_disk_gib: 100,
    },
    created_at: minutesAgo(300),
    pools: pools(all).filter((pool) => pool.tenant_id === tenantId),
  }));
}

export function hostInfo(): HostInfo {
  return {
    hostd_version: '0.0.0',
    protocol_versions: [1, 2],
    node_version: process.version,
    kernel: '6.1.0',
    pid: 1,
    started_at: minutesAgo(400),
    vmm: 'qemu',
    vmm_version: '7.2.22',
    accelerator: 'tcg',
    accelerator_reason: 'the CPU shows neither vmx nor svm',
    cgroup_version: 2,
    cluster_cidr: '10.240.0.0/12',
    uplinks: ['eth0'],
    state_dir: '/var/lib/mvm',
    images: [
      {
        name: 'demo',
        digest: DIGEST,
        size_bytes: 64 * 1024 * 1024,
        created_at: minutesAgo(500),
        problem: '',
      },
    ],
    tenants: 2,
    pools: 2,
    instances: 3,
    running: 2,
  };
}

export function versionInfo(): VersionInfo {
  return {
    agentd: { version: '0.0.0', node_version: process.version, protocol_versions: [1, 2] },
    hostd: {
      version: '0.0.0',
      node_version: process.version,
      protocol_version: 2,
      protocol_versions: [1, 2],
    },
    hostd_error: null,
    compatible: true,
  };
}

export function status(overrides: Partial<Status> = {}): Status {
  return {
    node_id: 'node-1',
    agentd: { version: '0.0.0', pid: 2, uid: 990, started_at: minutesAgo(400) },
    hostd: {
      state: 'connected',
      socket: '/run/mvm/hostd.sock',
      version: 2,
      server: 'mvm-hostd/0.0.0',
      error: null,
    },
    desired: { source: 'api', path: null, revision: REVISION, loaded_at: minutesAgo(10), error: null },
    last_pass: {
      number: 7,
      revision: REVISION,
      trigger: 'interval',
      started_at: minutesAgo(0.1),
      duration_ms: 12,
      actions: 0,
      failed: 0,
      error: null,
    },
    observed_at: minutesAgo(0.1),
    held: 0,
    converged: true,
    settled: true,
    pools: [
      {
        tenant_id: 'acme',
        pool_id: 'web',
        wanted: { running: 2, warm: 0, sleeping: 0 },
        actual: { created: 0, ready: 0, running: 2, warm: 0, sleeping: 0, stopped: 0 },
        held: 0,
        converged: true,
      },
    ],
    pending: [],
    problems: [],
    holds: [],
    network: {
      verified_at: minutesAgo(0.1),
      duration_ms: 20,
      kinds: [{ object: 'bridge', checked: 2, drifts: 0 }],
      drift_count: 0,
      drifts: [],
      persistent: 0,
      error: null,
    },
    recent: [],
    ...overrides,
  };
}

/** A status on the way to {@link REVISION}, with so many of two instances running. */
export function statusUnderWay(running: number): Status {
  const [pool] = status().pools;
  if (pool === undefined) throw new Error('the model has a pool');
  return status({
    converged: false,
    settled: false,
    pools: [{ ...pool, actual: { ...pool.actual, running }, converged: false }],
    pending: [
      {
        kind: 'start',
        tenant_id: 'acme',
        pool_id: 'web',
        instance_id: 'i-00000002',
        reason: '1 of 2 is running',
      },
    ],
  });
}

/** A status in which agentd is at its wits' end. */
export function statusStuck(): Status {
  return {
    ...statusUnderWay(0),
    settled: true,
    problems: [
      {
        kind: 'blocked',
        reason: 'image.not_found',
        message: 'image demo is not registered on this host',
        tenant_id: 'acme',
        pool_id: 'web',
        instance_id: null,
        until: null,
      },
    ],
    recent: [
      {
        kind: 'start',
        tenant_id: 'acme',
        pool_id: 'web',
        instance_id: 'i-00000002',
        reason: '1 of 2 is running',
        at: minutesAgo(1),
        pass: 6,
        duration_ms: 900,
        error: {
          code: 'internal',
          reason: 'vmm.exited',
          retry: 'never',
          message: 'start failed: the VMM ended',
          details: { console_tail: 'Kernel panic - not syncing\n' },
          hint: null,
        },
      },
    ],
  };
}

export function applyResult(applied: boolean): ApplyResult {
  return {
    revision: REVISION,
    applied,
    actions: [
      {
        kind: 'ensure_tenant',
        tenant_id: 'acme',
        pool_id: null,
        instance_id: null,
        reason: 'not on this host yet',
      },
      { kind: 'create', tenant_id: 'acme', pool_id: 'web', instance_id: null, reason: '0 of 2 exist' },
    ],
    problems: [],
    plan_error: null,
  };
}

export function networkReport(tenant_id: string | null, deep: boolean): NetworkReport {
  return {
    tenant_id,
    kinds: [
      { object: 'bridge', checked: 1, drifts: 0 },
      { object: 'address', checked: 2, drifts: 0 },
      { object: 'element', checked: 17, drifts: 0 },
    ],
    drifts: [],
    drift_count: 0,
    probes: deep
      ? [
          {
            name: 'gateway-ping',
            expects: 'control',
            outcome: 'as_wanted',
            detail: '10.240.3.1 answered',
            counter: null,
          },
        ]
      : null,
    duration_ms: 21,
  };
}

export function networkPlan(tenant_id: string, from_scratch: boolean): NetworkPlan {
  return {
    tenant_id,
    from_scratch,
    steps: from_scratch ? 2 : 0,
    commands: from_scratch
      ? [
          { program: 'nft', args: ['-f', '-'], script: 'add element inet mvm bridges { "br-tenant-3" }\n' },
          { program: 'sysctl', args: [], script: 'net/ipv4/conf/br-tenant-3/rp_filter=1\n' },
        ]
      : [],
    truncated: false,
  };
}

export function networkDrops(packets: number): NetworkDrops {
  const counter = {
    table: 'inet mvm',
    meaning: 'was for a private or link-local address',
    advice: 'the policy decides',
  };
  return {
    at: '2026-11-23T10:00:00.000Z',
    counters: [
      { ...counter, name: 'c_private', packets, bytes: packets * 60 },
      { ...counter, name: 'c_none', packets: 0, bytes: 0 },
    ],
  };
}

export function auditEntries(): AuditEntryView[] {
  const entry = (seq: number, more: Partial<AuditEntryView>): AuditEntryView => ({
    seq,
    at: `2026-11-25T08:0${seq}:00.000Z`,
    op_id: `op${seq}`,
    operation: 'start',
    tenant_id: 'acme',
    pool_id: 'web',
    instance_id: 'i-00000001',
    peer: { pid: 71, uid: 998, gid: 998 },
    result: 'ok',
    code: null,
    reason: null,
    message: null,
    duration_ms: 1500,
    details: {},
    ...more,
  });
  return [
    entry(1, {}),
    entry(2, { operation: 'sleep', details: { drain: 'timed_out' } }),
    entry(3, {
      operation: 'wake',
      result: 'error',
      code: 'failed_precondition',
      reason: 'snapshot.damaged',
      message: 'wake failed: \u001b[31mdamaged',
    }),
  ];
}

export function auditReports(): AuditReportView[] {
  const intact: AuditReportView = {
    tenant_id: 'acme',
    lines: 3,
    unchained_lines: 0,
    first_seq: 1,
    last_seq: 3,
    head: 'matches',
    problems: [],
    problem_count: 0,
  };
  const problems = [{ line: 5, reason: 'audit.line_changed', message: 'entry 3 was changed' }];
  return [intact, { ...intact, tenant_id: 'globex', head: 'bad', problems, problem_count: 2 }];
}

/** What a stop takes, with text that a terminal must not act on. */
export function plan(object: string): PlanView {
  return {
    operation: 'stop',
    on_failure: 'finish',
    steps: [
      { kind: 'vm.kill', object: 'tn3i3', what: 'end its VM', args: { vm_id: 'tn3i3' } },
      { kind: 'instance.commit_stopped', object, what: 'record it as \u001b[31mstopped', args: {} },
    ],
    notes: [
      'a start of this instance is under way: the request would wait for it, and then be planned again',
    ],
  };
}

/** What is wanted of the model: the tenant acme with the pool web. */
export function desired(): DesiredState {
  return parseDesiredState({
    schema_version: 1,
    node_id: 'node-1',
    tenants: [
      {
        tenant_id: 'acme',
        network: { tenant_net_id: 3, ipv4_subnet: '10.240.3.0/24' },
        quotas: {
          max_vcpus: 16,
          max_mem_mib: 4096,
          max_running: 8,
          max_warm: 4,
          max_pools: 4,
          max_instances_per_pool: 16,
          max_disk_gib: 100,
        },
        pools: [
          {
            pool_id: 'web',
            flake_ref: 'demo',
            instance_resources: { vcpus: 1, mem_mib: 128, data_disk_mib: 0 },
            desired_counts: { running: 2, warm: 0, sleeping: 0 },
          },
        ],
      },
    ],
  });
}
