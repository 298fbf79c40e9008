/**
 * What hostd promises of its objects, as plain data and one pure function: a request and a state give an answer and the
 * next state. It shares no code with hostd's planners, so that a mistake there is not repeated here.
 */

export type Status = 'created' | 'ready' | 'running' | 'warm' | 'sleeping' | 'stopped';

/** Why a snapshot cannot be used: which of its files was damaged behind hostd's back. */
export type Damage = 'manifest' | 'memory' | 'disk';

export interface ModelInstance {
  readonly status: Status;
  /** In the tenant's network; fixed for life. */
  readonly offset: number;
  readonly diskMib: number;
  /** What it runs or sleeps with; null otherwise. */
  readonly uses: { readonly vcpus: number; readonly memMib: number } | null;
  readonly damage: Damage | null;
  /** How often it was started afresh: tells one guest from the next. */
  readonly boots: number;
}

export interface PoolSettings {
  /** Whether its image is registered on the host. */
  readonly hasImage: boolean;
  readonly vcpus: number;
  readonly memMib: number;
  readonly diskMib: number;
  readonly compression: 'none' | 'lz4' | 'zstd';
}

export interface ModelPool extends PoolSettings {
  readonly instances: Readonly<Record<string, ModelInstance>>;
}

export interface ModelQuotas {
  readonly vcpus: number;
  readonly memMib: number;
  readonly running: number;
  readonly warm: number;
  readonly pools: number;
  readonly instancesPerPool: number;
  readonly diskGib: number;
}

export interface ModelTenant {
  readonly netId: number;
  readonly networkUp: boolean;
  readonly quotas: ModelQuotas;
  readonly pools: Readonly<Record<string, ModelPool>>;
}

/** Tenants by id. */
export type State = Readonly<Record<string, ModelTenant>>;

export interface At {
  readonly tenant: string;
  readonly pool: string;
  readonly id: string;
}

export const INSTANCE_OPERATIONS = [
  'start',
  'stop',
  'sleep',
  'wake',
  'warm',
  'resume',
  'reboot',
  'destroy',
] as const;
export type InstanceOp = (typeof INSTANCE_OPERATIONS)[number];

/** Everything that may change an object, with what it names. */
export type ModelOperation =
  | { readonly op: InstanceOp; readonly at: At; readonly flag: boolean }
  | { readonly op: 'create'; readonly at: At }
  | {
      readonly op: 'ensure-pool';
      readonly tenant: string;
      readonly pool: string;
      readonly settings: PoolSettings;
    }
  | { readonly op: 'remove-pool'; readonly tenant: string; readonly pool: string }
  | {
      readonly op: 'ensure-tenant';
      readonly tenant: string;
      readonly netId: number;
      readonly quotas: ModelQuotas;
    }
  | { readonly op: 'setup' | 'teardown'; readonly tenant: string; readonly netId: number }
  | { readonly op: 'remove-tenant'; readonly tenant: string };

/** `ok`, or `<code> <reason>`. */
export type Answer = string;

export interface Outcome {
  readonly answer: Answer;
  readonly state: State;
}

/** Quotas of a tenant that came by SetupNetwork. Source: docs/state.md. */
const DEFAULT_MODEL_QUOTAS: ModelQuotas = {
  vcpus: 64,
  memMib: 131_072,
  running: 64,
  warm: 64,
  pools: 32,
  instancesPerPool: 100,
  diskGib: 1024,
};
const FIRST_OFFSET = 3;

const FROM: Readonly<Record<InstanceOp, readonly Status[]>> = {
  start: ['created', 'ready', 'stopped'],
  stop: ['running', 'warm', 'sleeping'],
  sleep: ['running', 'warm'],
  wake: ['sleeping'],
  warm: ['running'],
  resume: ['warm'],
  reboot: ['running', 'warm'],
  destroy: ['created', 'ready', 'running', 'warm', 'sleeping', 'stopped'],
};

export function instancesOf(state: State): { readonly at: At; readonly instance: ModelInstance }[] {
  return Object.entries(state).flatMap(([tenant, { pools }]) =>
    Object.entries(pools).flatMap(([pool, { instances }]) =>
      Object.entries(instances).map(([id, instance]) => ({ at: { tenant, pool, id }, instance })),
    ),
  );
}

export function find(state: State, at: At): ModelInstance | undefined {
  return state[at.tenant]?.pools[at.pool]?.instances[at.id];
}

export const isLive = ({ status }: ModelInstance): boolean => status === 'running' || status === 'warm';

/** The state with an instance replaced; without it when `next` is null. */
export function put(state: State, at: At, next: ModelInstance | null): State {
  const pool = state[at.tenant]?.pools[at.pool];
  if (pool === undefined) throw new Error('the model has no such pool');
  const { [at.id]: _, ...others } = pool.instances;
  return putPool(state, at.tenant, at.pool, {
    ...pool,
    instances: next === null ? others : { ...others, [at.id]: next },
  });
}

function putPool(state: State, tenantId: string, poolId: string, next: ModelPool | null): State {
  const tenant = state[tenantId];
  if (tenant === undefined) throw new Error('the model has no such tenant');
  const { [poolId]: _, ...others } = tenant.pools;
  return {
    ...state,
    [tenantId]: { ...tenant, pools: next === null ? others : { ...others, [poolId]: next } },
  };
}

/** The VM of a running or warm instance has ended. */
export function withVmEnded(state: State, at: At): State {
  const instance = find(state, at);
  if (instance === undefined || !isLive(instance)) return state;
  return put(state, at, { ...instance, status: 'stopped', uses: null });
}

/** What hostd has to answer to a request that nothing comes in the way of, and the state after it. */
export function apply(state: State, operation: ModelOperation): Outcome {
  const refuse = (answer: Answer): Outcome => ({ answer, state });
  const done = (next: State): Outcome => ({ answer: 'ok', state: next });
  switch (operation.op) {
    case 'create':
      return create(state, operation.at, refuse, done);
    case 'ensure-pool': {
      const tenant = state[operation.tenant];
      if (tenant === undefined) return refuse('not_found tenant.not_found');
      const known = tenant.pools[operation.pool];
      if (known === undefined && Object.keys(tenant.pools).length >= tenant.quotas.pools) {
        return refuse('resource_exhausted quota.exceeded');
      }
      const instances = Object.entries(known?.instances ?? {}).map(([id, instance]) => [
        id,
        operation.settings.hasImage && instance.status === 'created'
          ? { ...instance, status: 'ready' }
          : instance,
      ]);
      return done(
        putPool(state, operation.tenant, operation.pool, {
          ...operation.settings,
          instances: Object.fromEntries(instances),
        }),
      );
    }
    case 'remove-pool': {
      const pool = state[operation.tenant]?.pools[operation.pool];
      if (state[operation.tenant] === undefined) return refuse('not_found tenant.not_found');
      if (pool === undefined) return refuse('not_found pool.not_found');
      if (Object.keys(pool.instances).length > 0) return refuse('failed_precondition pool.has_instances');
      return done(putPool(state, operation.tenant, operation.pool, null));
    }
    case 'ensure-tenant':
    case 'setup':
      return ensureTenant(state, operation, refuse, done);
    case 'teardown': {
      const tenant = state[operation.tenant];
      if (tenant === undefined) return refuse('not_found tenant.not_found');
      if (tenant.netId !== operation.netId) return refuse('failed_precondition tenant.net_mismatch');
      if (usage(tenant).running > 0) return refuse('failed_precondition tenant.has_running_instances');
      return done({ ...state, [operation.tenant]: { ...tenant, networkUp: false } });
    }
    case 'remove-tenant': {
      const tenant = state[operation.tenant];
      if (tenant === undefined) return refuse('not_found tenant.not_found');
      if (Object.keys(tenant.pools).length > 0) return refuse('failed_precondition tenant.has_pools');
      const { [operation.tenant]: _, ...others } = state;
      return done(others);
    }
    default:
      return operate(state, operation.op, operation.at, refuse, done);
  }
}

type Refuse = (answer: Answer) => Outcome;
type Done = (next: State) => Outcome;

function usage(tenant: ModelTenant): { running: number; vcpus: number; memMib: number } {
  const live = Object.values(tenant.pools)
    .flatMap((pool) => Object.values(pool.instances))
    .filter(isLive);
  return {
    running: live.length,
    vcpus: live.reduce((sum, { uses }) => sum + (uses?.vcpus ?? 0), 0),
    memMib: live.reduce((sum, { uses }) => sum + (uses?.memMib ?? 0), 0),
  };
}

function warmOf(tenant: ModelTenant): number {
  const all = Object.values(tenant.pools).flatMap((pool) => Object.values(pool.instances));
  return all.filter(({ status }) => status === 'warm').length;
}

/** What a tenant's live instances use. */
export function usageOf(state: State, tenantId: string): ReturnType<typeof usage> {
  const tenant = state[tenantId];
  return tenant === undefined ? { running: 0, vcpus: 0, memMib: 0 } : usage(tenant);
}

/** Whether one more live instance would exceed a quota of the tenant. */
function exceedsQuota(tenant: ModelTenant, more: { vcpus: number; memMib: number }): boolean {
  const { quotas } = tenant;
  const used = usage(tenant);
  return (
    used.running + 1 > quotas.running ||
    used.vcpus + more.vcpus > quotas.vcpus ||
    used.memMib + more.memMib > quotas.memMib
  );
}

function create(state: State, at: At, refuse: Refuse, done: Done): Outcome {
  const tenant = state[at.tenant];
  if (tenant === undefined) return refuse('not_found tenant.not_found');
  const pool = tenant.pools[at.pool];
  if (pool === undefined) return refuse('not_found pool.not_found');
  if (pool.instances[at.id] !== undefined) return refuse('already_exists instance.exists');
  const all = Object.values(tenant.pools).flatMap((one) => Object.values(one.instances));
  if (Object.keys(pool.instances).length >= tenant.quotas.instancesPerPool) {
    return refuse('resource_exhausted quota.exceeded');
  }
  const diskMib = all.reduce((sum, instance) => sum + instance.diskMib, pool.diskMib);
  if (diskMib > tenant.quotas.diskGib * 1024) return refuse('resource_exhausted quota.exceeded');
  const taken = new Set(all.map(({ offset }) => offset));
  let offset = FIRST_OFFSET;
  while (taken.has(offset)) offset += 1;
  const status = pool.hasImage ? 'ready' : 'created';
  const instance = { status, offset, diskMib: pool.diskMib, uses: null, damage: null, boots: 0 } as const;
  return done(put(state, at, instance));
}

function ensureTenant(
  state: State,
  operation: Extract<ModelOperation, { netId: number }>,
  refuse: Refuse,
  done: Done,
): Outcome {
  const clash = Object.entries(state).some(
    ([id, { netId }]) => id !== operation.tenant && netId === operation.netId,
  );
  if (clash) return refuse('already_exists tenant.net_clash');
  const known = state[operation.tenant];
  const instances = Object.values(known?.pools ?? {}).flatMap((pool) => Object.values(pool.instances));
  if (known !== undefined && known.netId !== operation.netId && instances.length > 0) {
    return refuse('failed_precondition tenant.net_in_use');
  }
  const quotas =
    operation.op === 'ensure-tenant' ? operation.quotas : (known?.quotas ?? DEFAULT_MODEL_QUOTAS);
  const tenant = { netId: operation.netId, networkUp: true, quotas, pools: known?.pools ?? {} };
  return done({ ...state, [operation.tenant]: tenant });
}

function operate(state: State, op: InstanceOp, at: At, refuse: Refuse, done: Done): Outcome {
  const tenant = state[at.tenant];
  if (tenant === undefined) return refuse('not_found tenant.not_found');
  const pool = tenant.pools[at.pool];
  if (pool === undefined) return refuse('not_found pool.not_found');
  const instance = pool.instances[at.id];
  if (instance === undefined) return refuse('not_found instance.not_found');
  if (!FROM[op].includes(instance.status)) return refuse('failed_precondition instance.invalid_transition');
  const become = (next: Partial<ModelInstance>): Outcome => done(put(state, at, { ...instance, ...next }));
  switch (op) {
    case 'start': {
      if (!pool.hasImage) return refuse('not_found image.not_found');
      // From here on an instance that waited for its image is ready, whatever follows.
      const ready = put(state, at, {
        ...instance,
        status: instance.status === 'created' ? 'ready' : instance.status,
      });
      const uses = { vcpus: pool.vcpus, memMib: pool.memMib };
      if (!tenant.networkUp) return { answer: 'failed_precondition tenant.network_down', state: ready };
      if (exceedsQuota(tenant, uses)) return { answer: 'resource_exhausted quota.exceeded', state: ready };
      return become({ status: 'running', uses, boots: instance.boots + 1 });
    }
    case 'wake':
      if (instance.damage === 'manifest') return refuse('failed_precondition snapshot.damaged');
      if (!tenant.networkUp) return refuse('failed_precondition tenant.network_down');
      if (instance.uses !== null && exceedsQuota(tenant, instance.uses)) {
        return refuse('resource_exhausted quota.exceeded');
      }
      if (instance.damage === 'disk') return refuse('failed_precondition snapshot.disk_changed');
      if (instance.damage === 'memory') return refuse('failed_precondition snapshot.damaged');
      return become({ status: 'running' });
    case 'stop':
      return become({ status: 'stopped', uses: null, damage: null });
    case 'sleep':
      return become({ status: 'sleeping' });
    case 'warm':
      if (warmOf(tenant) >= tenant.quotas.warm) return refuse('resource_exhausted quota.exceeded');
      return become({ status: 'warm' });
    case 'resume':
      return become({ status: 'running' });
    case 'reboot': {
      if (!pool.hasImage) return refuse('not_found image.not_found');
      if (!tenant.networkUp) return refuse('failed_precondition tenant.network_down');
      const uses = { vcpus: pool.vcpus, memMib: pool.memMib };
      const without = put(state, at, { ...instance, status: 'stopped', uses: null })[at.tenant];
      if (without !== undefined && exceedsQuota(without, uses))
        return refuse('resource_exhausted quota.exceeded');
      return become({ status: 'running', uses, boots: instance.boots + 1 });
    }
    default:
      return done(put(state, at, null));
  }
}
