import {
  type AuditEntryView,
  type AuditReportView,
  CodedError,
  type ImageRef,
  type ImageView,
  type InstanceActivity,
  type InstanceView,
  type NetworkDriftView,
  type NetworkPolicy,
  type PlannableRequest,
  type PoolSpec,
  type Quotas,
  type TenantNet,
  type V2Request,
  type V2Response,
} from '@mvm/protocol';
import {
  checkTenantNet,
  DEFAULT_CLUSTER_CIDR,
  parseInstanceId,
  parsePoolId,
  parseTenantId,
} from '@mvm/protocol/names';
import { poolSpecSchema } from '@mvm/protocol/schemas';
import { assertTransition } from '@mvm/protocol/state';

export const DEMO_IMAGE: ImageView = {
  name: 'demo',
  digest: `sha256:${'0'.repeat(64)}`,
  size_bytes: 1,
  created_at: '2026-01-01T00:00:00Z',
  problem: '',
};

interface ModelTenant {
  net: TenantNet;
  networkUp: boolean;
  quotas: Quotas;
  policy: NetworkPolicy | undefined;
  createdAt: string;
  /** With the image that each boots: what its reference meant when it was last ensured. */
  pools: Map<string, PoolSpec & { image: ImageRef | null }>;
}

interface InstanceAddress {
  readonly tenant_id: string;
  readonly pool_id: string;
  readonly instance_id: string;
}

const OPERATIONS = {
  StartInstance: 'start',
  WakeInstance: 'wake',
  ResumeInstance: 'resume',
  RebootInstance: 'reboot',
  WarmInstance: 'warm',
  SleepInstance: 'sleep',
  StopInstance: 'stop',
  DestroyInstance: 'destroy',
} as const;
export type InstanceOperation = Extract<PlannableRequest, { type: keyof typeof OPERATIONS }>;

function fail(
  code: ConstructorParameters<typeof CodedError>[0]['code'],
  reason: string,
  message: string,
): never {
  throw new CodedError({ code, reason, message });
}

/**
 * hostd as far as agentd can tell, without a host: refuses what hostd refuses, and every request that it does not
 * know. INVARIANTS: a request either throws and changes nothing, or does all of it; quotas hold after every request.
 */
export class ModelHost {
  readonly tenants = new Map<string, ModelTenant>();
  readonly instances = new Map<string, InstanceView>();
  images: ImageView[] = [DEMO_IMAGE];
  auditEntries: AuditEntryView[] = [];
  auditReports: AuditReportView[] = [];
  nowMs: number;
  /** How long a guest runs before its agent is there. */
  agentAfterMs = 0;
  /** What a verification finds. */
  drifts: NetworkDriftView[] = [];
  /** How far its clock is ahead of its monotonic clock, as after a step of the clock. */
  clockSkewMs = 0;
  /** CPU time and bytes of each VM since it was launched, by `tenant/pool/instance`; see `work`. */
  readonly #counters = new Map<string, { cpuUsec: number; bytes: number }>();
  #launched = 4241;
  /** Told that something may have changed. */
  onChange: () => void = () => {};
  /** Asked before a change; throw to make it fail. */
  beforeChange: (request: V2Request) => void = () => {};
  #created = 0;
  readonly #underWay = new Map<string, InstanceOperation>();

  constructor(nowMs: number) {
    this.nowMs = nowMs;
  }

  /** Refuses what carrying it out would refuse, and changes nothing. */
  #plan(request: PlannableRequest): V2Response {
    const [tenants, instances, created] = [
      structuredClone(this.tenants),
      structuredClone(this.instances),
      this.#created,
    ];
    try {
      this.handle(request);
    } finally {
      this.tenants.clear();
      this.instances.clear();
      for (const [id, tenant] of tenants) this.tenants.set(id, tenant);
      for (const [id, view] of instances) this.instances.set(id, view);
      this.#created = created;
    }
    const object = 'instance_id' in request ? key(request as never) : 'host';
    return {
      type: 'Plan',
      operation: request.type,
      on_failure: 'undo',
      steps: [{ kind: 'model.change', object, what: 'change the model', args: {} }],
      notes: [],
    };
  }

  /** The time of its monotonic clock. */
  get monotonicMs(): number {
    return this.nowMs - this.clockSkewMs;
  }

  /** A VM uses CPU time and its TAP carries bytes. */
  work(address: InstanceAddress, { cpuUsec, bytes }: { cpuUsec: number; bytes: number }): void {
    const before = this.#counters.get(key(address)) ?? { cpuUsec: 0, bytes: 0 };
    this.#counters.set(key(address), { cpuUsec: before.cpuUsec + cpuUsec, bytes: before.bytes + bytes });
  }

  #activity(): InstanceActivity[] {
    return this.#instanceViews({}).flatMap((view) => {
      const { tenant_id, pool_id, instance_id, status, pid } = view;
      if ((status !== 'running' && status !== 'warm') || pid === null) return [];
      const { cpuUsec, bytes } = this.#counters.get(key(view)) ?? { cpuUsec: 0, bytes: 0 };
      const counted = { cpu_usec: cpuUsec, rx_bytes: bytes, rx_packets: 0, tx_bytes: 0, tx_packets: 0 };
      return [{ tenant_id, pool_id, instance_id, status, pid, ...counted }];
    });
  }

  /** The answer to one request; throws the CodedError that hostd would answer with. */
  handle(request: V2Request): V2Response {
    switch (request.type) {
      case 'Ping':
        return { type: 'Pong' };
      case 'HostInfo':
        return this.#hostInfo();
      case 'ListTenants':
        return this.#page(this.#tenantViews(), request, (tenants, next_cursor) => ({
          type: 'Tenants',
          tenants,
          next_cursor,
        }));
      case 'ListInstances':
        return this.#page(this.#instanceViews(request), request, (instances, next_cursor) => ({
          type: 'Instances',
          instances,
          next_cursor,
        }));
      case 'ListActivity':
        return this.#page(this.#activity(), request, (activity, next_cursor) => ({
          type: 'Activity',
          activity,
          monotonic_ms: this.monotonicMs,
          next_cursor,
        }));
      case 'DescribeInstance':
        return {
          type: 'InstanceDetail',
          ...this.#find(request),
          runtime: null,
          agent_connected: this.agentConnected(this.#find(request)),
          console_tail: 'mvm-guest ready\n',
        };
      case 'InstanceLogs':
        return this.#logs(request);
      case 'VerifyNetwork':
        if (request.tenant_id != null) this.#tenant(request.tenant_id);
        return {
          type: 'NetworkReport',
          tenant_id: request.tenant_id ?? null,
          kinds: ['bridge', 'element'].map((object) => ({
            object,
            checked: this.tenants.size,
            drifts: this.drifts.filter((drift) => drift.object === object).length,
          })),
          drifts: this.drifts,
          drift_count: this.drifts.length,
          probes: request.deep === true ? [] : null,
          duration_ms: 1,
        };
      case 'PlanNetwork':
        return {
          type: 'NetworkPlan',
          tenant_id: request.tenant_id ?? null,
          from_scratch: request.from_scratch === true,
          steps: 0,
          commands: [],
          truncated: false,
        };
      case 'NetworkDrops':
        return { type: 'NetworkDrops', at: this.#now(), counters: [] };
      case 'AuditLog':
        if (request.tenant_id !== 'acme') fail('not_found', 'audit.not_found', 'there is no such log');
        return this.#page(this.auditEntries, request, (entries, next_cursor) => ({
          type: 'AuditEntries',
          entries,
          next_cursor,
        }));
      case 'VerifyAudit':
        return this.#page(this.auditReports, request, (reports, next_cursor) => ({
          type: 'AuditReports',
          reports,
          next_cursor,
        }));
      default:
        this.beforeChange(request);
        return this.#change(request);
    }
  }

  /** Begin an operation on an instance; it is under way until `finish`. Refuses what carrying it out would refuse. */
  begin(request: InstanceOperation): void {
    if (this.#find(request).operation !== null) fail('aborted', 'model.busy', `${key(request)} is busy`);
    this.#plan(request);
    this.#underWay.set(key(request), request);
    this.#find(request).operation = OPERATIONS[request.type];
  }

  /** An operation under way ends: it succeeds, or fails and changes nothing. */
  finish(address: InstanceAddress, outcome: 'ok' | 'failed'): void {
    const request = this.#underWay.get(key(address));
    if (request === undefined) throw new Error(`nothing is under way on ${key(address)}`);
    this.#underWay.delete(key(address));
    this.#find(address).operation = null;
    if (outcome === 'ok') this.handle(request);
  }

  /** The instances with an operation under way, in the order in which the operations began. */
  underWay(): InstanceOperation[] {
    return [...this.#underWay.values()];
  }

  /** An instance's VMM ends on its own. */
  crash(address: { tenant_id: string; pool_id: string; instance_id: string }): void {
    const view = this.#find(address);
    const at = this.#now();
    Object.assign(view, { status: 'stopped', status_since: at, pid: null, last_stopped_at: at });
    this.onChange();
    view.exit_count = (view.exit_count ?? 0) + 1;
    view.stop_reason = {
      kind: 'exited',
      message: 'exit status 1',
      exit_code: 1,
      signal: null,
      console_tail: '',
      at,
    };
  }

  /** The snapshot of a sleeping instance cannot be used, as a wake has found. */
  damage(address: { tenant_id: string; pool_id: string; instance_id: string }): void {
    const view = this.#find(address);
    const message = 'the memory image does not have the recorded sha256';
    const nothing = { exit_code: null, signal: null, console_tail: '' };
    view.stop_reason = { kind: 'wake_failed', message, ...nothing, at: this.#now() };
  }

  /** Whether the agent of an instance's guest is there; null when the guest does not run. */
  agentConnected({ status, status_since }: InstanceView): boolean | null {
    if (status !== 'running') return null;
    return this.nowMs - Date.parse(status_since ?? '') >= this.agentAfterMs;
  }

  runningIn(tenant: string, pool?: string): number {
    return [...this.instances.values()].filter(
      (view) =>
        view.status === 'running' && view.tenant_id === tenant && (pool ?? view.pool_id) === view.pool_id,
    ).length;
  }

  /** Instances of a pool in a state, without those whose snapshot is damaged. */
  countIn(tenant: string, pool: string, state: InstanceView['status']): number {
    return this.#instanceViews({ tenant_id: tenant, pool_id: pool }).filter(
      ({ status, stop_reason }) => status === state && stop_reason?.kind !== 'wake_failed',
    ).length;
  }

  #change(request: V2Request): V2Response {
    switch (request.type) {
      case 'EnsureTenant': {
        checkTenantNet(request.net, DEFAULT_CLUSTER_CIDR);
        const before = this.tenants.get(parseTenantId(request.tenant_id));
        if (
          before !== undefined &&
          before.net.ipv4_subnet !== request.net.ipv4_subnet &&
          this.#instanceViews({ tenant_id: request.tenant_id }).length > 0
        ) {
          fail('failed_precondition', 'tenant.net_in_use', 'the tenant has instances on its network');
        }
        this.tenants.set(request.tenant_id, {
          net: request.net,
          networkUp: true,
          quotas: request.quotas,
          policy: request.policy,
          createdAt: before?.createdAt ?? this.#now(),
          pools: before?.pools ?? new Map(),
        });
        return { type: 'Tenant', ...this.#tenantView(request.tenant_id) };
      }
      case 'EnsurePool': {
        const tenant = this.#tenant(request.tenant_id);
        parsePoolId(request.pool_id);
        if (!tenant.pools.has(request.pool_id) && tenant.pools.size >= tenant.quotas.max_pools) {
          fail('resource_exhausted', 'quota.max_pools', 'too many pools');
        }
        const spec = poolSpecSchema.parse(request.spec);
        const image = this.images.find(({ name }) => name === spec.flake_ref);
        const named = image === undefined ? null : { name: image.name, digest: image.digest };
        tenant.pools.set(request.pool_id, { ...spec, image: named });
        return { type: 'Pool', ...this.#poolView(request.tenant_id, request.pool_id) };
      }
      case 'RemovePool':
        if (this.#instanceViews(request).length > 0)
          fail('failed_precondition', 'pool.not_empty', 'pool has instances');
        if (!this.#tenant(request.tenant_id).pools.delete(request.pool_id))
          fail('not_found', 'pool.not_found', 'no pool');
        return { type: 'Ok' };
      case 'RemoveTenant':
        if (this.#tenant(request.tenant_id).pools.size > 0)
          fail('failed_precondition', 'tenant.not_empty', 'has pools');
        this.tenants.delete(request.tenant_id);
        return { type: 'Ok' };
      case 'CreateInstance':
        return { type: 'Instance', ...this.#create(request.tenant_id, request.pool_id) };
      case 'StartInstance':
        this.#run(this.#find(request), 'start');
        return { type: 'Ok' };
      case 'StopInstance': {
        const view = this.#find(request);
        view.status = assertTransition(view.status, 'stop');
        const at = this.#now();
        Object.assign(view, { status_since: at, pid: null, last_stopped_at: at });
        view.stop_reason = {
          kind: 'requested',
          message: '',
          exit_code: null,
          signal: null,
          console_tail: '',
          at,
        };
        return { type: 'Ok' };
      }
      case 'SleepInstance': {
        const view = this.#find(request);
        view.status = assertTransition(view.status, 'sleep');
        const at = this.#now();
        Object.assign(view, { status_since: at, pid: null, last_stopped_at: at });
        return { type: 'Ok' };
      }
      case 'WakeInstance':
        if (this.#find(request).stop_reason?.kind === 'wake_failed') {
          fail('failed_precondition', 'snapshot.damaged', 'the snapshot is damaged');
        }
        this.#run(this.#find(request), 'wake');
        return { type: 'Ok' };
      case 'WarmInstance': {
        const view = this.#find(request);
        const to = assertTransition(view.status, 'warm');
        const warm = this.#instanceViews({ tenant_id: view.tenant_id }).filter(
          ({ status, operation }) => status === 'warm' || operation === 'warm',
        ).length;
        if (warm >= this.#tenant(view.tenant_id).quotas.max_warm) {
          fail('resource_exhausted', 'quota.max_warm', 'too many warm');
        }
        Object.assign(view, { status: to, status_since: this.#now() });
        return { type: 'Ok' };
      }
      case 'RebootInstance': {
        const view = this.#find(request);
        const at = this.#now();
        Object.assign(view, {
          status: assertTransition(view.status, 'reboot'),
          status_since: at,
          last_started_at: at,
        });
        return { type: 'Ok' };
      }
      case 'ResumeInstance': {
        const view = this.#find(request);
        const to = assertTransition(view.status, 'resume');
        Object.assign(view, { status: to, status_since: this.#now() });
        return { type: 'Ok' };
      }
      case 'DestroyInstance':
        this.#find(request);
        this.instances.delete(key(request));
        return { type: 'Ok' };
      case 'PlanRequest':
        return this.#plan(request.request);
      default:
        return fail('unimplemented', 'request.unknown', `the model knows no ${request.type}`);
    }
  }

  #create(tenantId: string, poolId: string): InstanceView {
    const { quotas, pools } = this.#tenant(tenantId);
    const spec = pools.get(poolId) ?? fail('not_found', 'pool.not_found', `no pool ${poolId}`);
    const inTenant = this.#instanceViews({ tenant_id: tenantId });
    if (inTenant.filter((view) => view.pool_id === poolId).length >= quotas.max_instances_per_pool) {
      fail('resource_exhausted', 'quota.max_instances_per_pool', 'too many instances');
    }
    const diskMib = inTenant.reduce(
      (sum, view) => sum + view.resources.data_disk_mib,
      spec.instance_resources.data_disk_mib,
    );
    if (diskMib > quotas.max_disk_gib * 1024)
      fail('resource_exhausted', 'quota.max_disk_gib', 'too much disk');
    this.#created += 1;
    const view: InstanceView = {
      tenant_id: tenantId,
      pool_id: poolId,
      instance_id: `i-${this.#created.toString(16).padStart(8, '0')}`,
      status: 'ready',
      status_since: this.#now(),
      role: spec.role,
      net: null,
      image: spec.image,
      resources: spec.instance_resources,
      pid: null,
      created_at: this.#now(),
      last_started_at: null,
      last_stopped_at: null,
      stop_reason: null,
      operation: null,
    };
    this.instances.set(key(view), view);
    return view;
  }

  #run(view: InstanceView, operation: 'start' | 'wake'): void {
    const to = assertTransition(view.status, operation);
    const { quotas } = this.#tenant(view.tenant_id);
    const running = this.#instanceViews({ tenant_id: view.tenant_id }).filter(
      ({ status, operation }) =>
        status === 'running' || status === 'warm' || operation === 'start' || operation === 'wake',
    );
    const sum = (field: 'vcpus' | 'mem_mib'): number =>
      running.reduce((total, other) => total + other.resources[field], view.resources[field]);
    if (running.length >= quotas.max_running) fail('resource_exhausted', 'quota.max_running', 'too many run');
    if (sum('vcpus') > quotas.max_vcpus) fail('resource_exhausted', 'quota.max_vcpus', 'too many vCPUs');
    if (sum('mem_mib') > quotas.max_mem_mib)
      fail('resource_exhausted', 'quota.max_mem_mib', 'too much memory');
    const at = this.#now();
    if (operation === 'start') {
      const image = this.#tenant(view.tenant_id).pools.get(view.pool_id)?.image;
      view.image = image ?? fail('not_found', 'image.not_found', 'the pool has no image');
    }
    this.#launched += 1;
    const pid = this.#launched;
    this.#counters.delete(key(view));
    Object.assign(view, { status: to, status_since: at, pid, last_started_at: at, stop_reason: null });
  }

  #find(address: { tenant_id: string; pool_id: string; instance_id: string }): InstanceView {
    parseInstanceId(address.instance_id);
    return (
      this.instances.get(key(address)) ??
      fail('not_found', 'instance.not_found', `no instance ${key(address)}`)
    );
  }

  #tenant(id: string): ModelTenant {
    return this.tenants.get(id) ?? fail('not_found', 'tenant.not_found', `no tenant ${id}`);
  }

  #now(): string {
    return new Date(this.nowMs).toISOString();
  }

  #poolView(tenant_id: string, pool_id: string) {
    const spec =
      this.#tenant(tenant_id).pools.get(pool_id) ?? fail('not_found', 'pool.not_found', `no pool ${pool_id}`);
    return { tenant_id, pool_id, ...spec };
  }

  #tenantView(tenant_id: string) {
    const { net, networkUp, quotas, policy, createdAt } = this.#tenant(tenant_id);
    return {
      tenant_id,
      net,
      network_up: networkUp,
      quotas,
      ...(policy === undefined ? {} : { policy }),
      created_at: createdAt,
    };
  }

  #tenantViews() {
    return [...this.tenants.keys()].sort().map((id) => ({
      ...this.#tenantView(id),
      pools: [...this.#tenant(id).pools.keys()].sort().map((pool) => this.#poolView(id, pool)),
    }));
  }

  #instanceViews(filter: {
    tenant_id?: string | null | undefined;
    pool_id?: string | null | undefined;
  }): InstanceView[] {
    return [...this.instances.values()]
      .filter((view) => (filter.tenant_id ?? view.tenant_id) === view.tenant_id)
      .filter((view) => (filter.pool_id ?? view.pool_id) === view.pool_id)
      .sort((a, b) => key(a).localeCompare(key(b)));
  }

  #page<T>(
    all: readonly T[],
    { cursor, limit }: { cursor?: string | null | undefined; limit?: number | null | undefined },
    answer: (items: T[], next: string | null) => V2Response,
  ): V2Response {
    const from = Number(cursor ?? 0);
    const to = from + (limit ?? 500);
    return answer(structuredClone(all.slice(from, to)), to < all.length ? String(to) : null);
  }

  #logs(request: Extract<V2Request, { type: 'InstanceLogs' }>): V2Response {
    this.#find(request);
    const text = Buffer.from('mvm-guest ready\n');
    const offset = Math.min(request.offset ?? 0, text.length);
    const piece = text.subarray(offset, offset + (request.max_bytes ?? 262_144));
    return {
      type: 'Logs',
      stream: request.stream ?? 'console',
      offset,
      next_offset: offset + piece.length,
      data_base64: piece.toString('base64'),
      truncated: false,
    };
  }

  #hostInfo(): V2Response {
    return {
      type: 'Host',
      hostd_version: '0.0.0-model',
      protocol_versions: [1, 2],
      node_version: process.version,
      kernel: 'model',
      pid: process.pid,
      started_at: this.#now(),
      vmm: 'qemu',
      vmm_version: null,
      accelerator: 'tcg',
      accelerator_reason: 'a model needs none',
      cgroup_version: 2,
      cluster_cidr: DEFAULT_CLUSTER_CIDR,
      state_dir: '/nonexistent',
      images: this.images,
      tenants: this.tenants.size,
      pools: [...this.tenants.values()].reduce((sum, tenant) => sum + tenant.pools.size, 0),
      instances: this.instances.size,
      running: [...this.instances.values()].filter(({ status }) => status === 'running').length,
    };
  }
}

function key(address: { tenant_id: string; pool_id: string; instance_id: string }): string {
  return `${address.tenant_id}/${address.pool_id}/${address.instance_id}`;
}
