import type {
  AuditEntryView,
  AuditReportView,
  GuestProgram,
  HostInfo,
  ImageRef,
  InstanceDetail,
  InstanceView,
  NetworkDrops,
  NetworkPlan,
  NetworkPolicy,
  NetworkReport,
  PoolNetworkPolicy,
  PoolSpec,
  PoolView,
  Quotas,
  TenantNet,
  TenantView,
} from '../../src/index.js';

/** Objects out of which the sample messages are made. */
export const address = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'i-a3f7b2c1' };

export const net: TenantNet = {
  tenant_net_id: 3,
  ipv4_subnet: '10.240.3.0/24',
  gateway_ip: '10.240.3.1',
  bridge_name: 'br-tenant-3',
};

export const quotas: Quotas = {
  max_vcpus: 16,
  max_mem_mib: 32_768,
  max_running: 8,
  max_warm: 4,
  max_pools: 4,
  max_instances_per_pool: 16,
  max_disk_gib: 100,
};

export const networkPolicy: NetworkPolicy = {
  egress: 'none',
  allow: [{ cidr: '192.168.7.0/24', protocol: 'tcp', first_port: 5432, last_port: 5433 }],
  deny: [{ cidr: '198.51.100.7/32' }],
  isolate_instances: true,
  limits: {
    new_connections_per_second: 50,
    new_connections_burst: 100,
    connections: 500,
    packets_per_second: 20_000,
    bandwidth_kbit: 100_000,
  },
};

export const poolNetworkPolicy: PoolNetworkPolicy = {
  egress: 'internet',
  limits: { bandwidth_kbit: 0 },
  publish: [
    { protocol: 'tcp', host_port: 8443, guest_port: 443 },
    { protocol: 'udp', host_port: 5353, guest_port: 53, instance_id: 'i-a3f7b2c1' },
  ],
};

export const poolSpec: PoolSpec = {
  flake_ref: 'demo',
  profile: 'minimal',
  role: 'worker',
  instance_resources: { vcpus: 2, mem_mib: 1024, data_disk_mib: 2048 },
  desired_counts: { running: 3, warm: 1, sleeping: 2 },
  runtime_policy: {
    min_running_seconds: 60,
    min_warm_seconds: 30,
    drain_timeout_seconds: 30,
    graceful_shutdown_seconds: 15,
  },
  seccomp_policy: 'baseline',
  snapshot_compression: 'zstd',
  secret_scopes: ['registry'],
};

export const guestProgram: GuestProgram = {
  command: ['/bin/server', '--port', '80'],
  env: { MODE: 'production', EMPTY: '' },
  user: 'app:1000',
  health: {
    command: ['/bin/check'],
    interval_secs: 10,
    timeout_secs: 5,
    retries: 3,
    start_period_secs: 20,
    on_unhealthy: 'stop',
  },
};

const image: ImageRef = { name: 'demo', digest: `sha256:${'4a'.repeat(32)}` };

export const tenantView: TenantView = {
  tenant_id: 'acme',
  net,
  network_up: true,
  quotas,
  created_at: '2026-11-23T10:00:00.000Z',
};

export const poolView: PoolView = { ...poolSpec, tenant_id: 'acme', pool_id: 'workers', image };

export const instanceView: InstanceView = {
  ...address,
  status: 'running',
  status_since: '2026-11-23T10:00:02.000Z',
  role: 'worker',
  net: {
    tap_dev: 'tn3i5',
    mac: '02:fc:00:03:00:05',
    guest_ip: '10.240.3.5',
    gateway_ip: '10.240.3.1',
    cidr: '10.240.3.0/24',
  },
  image,
  resources: { vcpus: 2, mem_mib: 1024, data_disk_mib: 2048 },
  pid: 4711,
  created_at: '2026-11-23T10:00:01.000Z',
  last_started_at: '2026-11-23T10:00:02.000Z',
  last_stopped_at: null,
  stop_reason: null,
  operation: null,
};

export const stoppedInstanceView: InstanceView = {
  ...instanceView,
  status: 'stopped',
  status_since: '2026-11-23T10:05:00.000Z',
  pid: null,
  last_stopped_at: '2026-11-23T10:05:00.000Z',
  stop_reason: {
    kind: 'exited',
    message: 'the VMM ended on its own',
    exit_code: null,
    signal: 'SIGKILL',
    console_tail: 'Kernel panic - not syncing: héllo 😀\n',
    at: '2026-11-23T10:05:00.000Z',
  },
};

export const endedInstanceView: InstanceView = {
  ...stoppedInstanceView,
  stop_reason: {
    kind: 'exited',
    message: 'the main process exited with code 3',
    exit_code: 0,
    signal: null,
    console_tail: 'mvm-guest exited code=3\n',
    at: '2026-11-23T10:05:00.000Z',
    guest: { reason: 'exited', exit_code: 3, signal: null },
  },
};

export const instanceDetail: InstanceDetail = {
  ...instanceView,
  runtime: {
    vmm: 'qemu',
    vmm_version: '7.2.22',
    accelerator: 'tcg',
    pid: 4711,
    uid: 1_900_000_773,
    gid: 1_900_000_773,
    memory_max_bytes: 1_207_959_552,
    memory_current_bytes: 301_989_888,
    cpu_max_percent: 200,
    pids_max: 64,
    pids_current: 5,
  },
  agent_connected: true,
  console_tail: 'mvm-guest ready\n',
};

export const hostInfo: HostInfo = {
  hostd_version: '0.1.0',
  protocol_versions: [1, 2],
  node_version: '20.20.2',
  kernel: '6.1.0',
  pid: 812,
  started_at: '2026-11-23T09:59:00.000Z',
  vmm: 'qemu',
  vmm_version: '7.2.22',
  accelerator: 'tcg',
  accelerator_reason: 'the CPU shows neither vmx nor svm',
  cgroup_version: 2,
  cluster_cidr: '10.240.0.0/12',
  uplinks: ['eth0'],
  network_namespace: 'net:[4026531840]',
  state_dir: '/var/lib/mvm',
  images: [{ ...image, size_bytes: 41_943_040, created_at: '2026-11-23T09:58:00.000Z', problem: '' }],
  tenants: 1,
  pools: 1,
  instances: 2,
  running: 1,
};

export const networkReport: NetworkReport = {
  tenant_id: 'acme',
  kinds: [
    { object: 'bridge', checked: 1, drifts: 0 },
    { object: 'element', checked: 7, drifts: 1 },
  ],
  drifts: [
    {
      object: 'element',
      name: 'port_mac tn3i5 . 02:fc:00:03:00:05',
      state: 'missing',
      detail: 'not in the set',
    },
  ],
  drift_count: 1,
  probes: null,
  duration_ms: 21.5,
};

export const deepNetworkReport: NetworkReport = {
  ...networkReport,
  drifts: [],
  drift_count: 0,
  probes: [
    {
      name: 'gateway-ping',
      expects: 'control',
      outcome: 'as_wanted',
      detail: '10.240.3.1 answered',
      counter: null,
    },
    {
      name: 'spoofed-address',
      expects: 'blocked',
      outcome: 'as_wanted',
      detail: '3 packets from 10.240.3.254, none answered',
      counter: 'c_ip',
    },
  ],
};

export const networkPlan: NetworkPlan = {
  tenant_id: 'acme',
  from_scratch: false,
  steps: 2,
  commands: [
    { program: 'nft', args: ['-f', '-'], script: 'add element inet mvm bridges { "br-tenant-3" }\n' },
    { program: 'sysctl', args: [], script: 'net/ipv4/conf/br-tenant-3/rp_filter=1\n' },
  ],
  truncated: false,
};

export const networkDrops: NetworkDrops = {
  at: '2026-11-23T10:00:00.000Z',
  counters: [
    {
      name: 'c_mac',
      table: 'bridge mvm',
      meaning: 'did not bear the MAC of its port',
      advice: 'the guest must use the MAC that `mvm instance info` shows',
      packets: 3,
      bytes: 180,
    },
  ],
};

export const auditEntry: AuditEntryView = {
  ...address,
  seq: 1,
  at: '2026-11-23T10:06:00.000Z',
  op_id: '9f86d081884c7d65',
  operation: 'sleep',
  peer: { pid: 4_242, uid: 998, gid: 998 },
  result: 'ok',
  code: null,
  reason: null,
  message: null,
  duration_ms: 1_234,
  details: { drain: 'timed_out' },
};

export const auditReport: AuditReportView = {
  tenant_id: 'acme',
  lines: 12,
  unchained_lines: 2,
  first_seq: 1,
  last_seq: 11,
  head: 'bad',
  problems: [
    { line: 5, reason: 'audit.line_changed', message: 'entry 3 was changed' },
    { line: null, reason: 'audit.tail_missing', message: 'entries 12 to 13 are missing at the end' },
  ],
  problem_count: 2,
};
