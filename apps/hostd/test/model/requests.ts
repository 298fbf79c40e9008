import type { V2Request } from '@mvm/protocol';
import fc from 'fast-check';
import { poolSpec } from '../tenants.js';
import { addressOf, netOf } from './assert-consistent.js';
import {
  type At,
  INSTANCE_OPERATIONS,
  type InstanceOp,
  instancesOf,
  type ModelOperation,
  type ModelQuotas,
  type PoolSettings,
  type State,
  type Status,
} from './state.js';

export const TENANTS = ['acme', 'globex', 'initech'] as const;
const POOLS = ['workers', 'extra'] as const;
export const IDS = ['i-a', 'i-b', 'i-c'] as const;
const NET_IDS = [3, 4, 5] as const;

/** An instance: one that there is, counted through, or a name that may mean nothing. */
export type Target = { readonly known: number } | { readonly named: At };

/** A request before it is known which instances there are. */
export type DrawnOperation =
  | { readonly kind: 'given'; readonly operation: ModelOperation }
  | { readonly kind: 'operate'; readonly op: InstanceOp; readonly target: Target; readonly flag: boolean }
  /** One of the operations that the instance's state admits. */
  | { readonly kind: 'fitting'; readonly known: number; readonly nth: number; readonly flag: boolean };

const FITTING: Readonly<Record<Status, readonly InstanceOp[]>> = {
  created: ['start', 'destroy'],
  ready: ['start', 'start', 'start', 'start', 'start', 'start', 'start', 'destroy'],
  running: ['sleep', 'warm', 'sleep', 'stop', 'sleep', 'warm', 'reboot', 'destroy'],
  warm: ['resume', 'sleep', 'resume', 'reboot', 'resume', 'stop', 'sleep', 'destroy'],
  sleeping: ['wake', 'wake', 'wake', 'wake', 'stop', 'wake', 'stop', 'destroy'],
  stopped: ['start', 'start', 'start', 'start', 'destroy'],
};

const at = fc.record({
  tenant: fc.constantFrom('acme', 'acme', 'acme', 'globex', 'globex', 'initech'),
  pool: fc.constantFrom('workers', 'workers', 'workers', 'extra'),
  id: fc.constantFrom(...IDS),
});
const target: fc.Arbitrary<Target> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ known: fc.nat(5) }) },
  { weight: 1, arbitrary: fc.record({ named: at }) },
);
const quotas: fc.Arbitrary<ModelQuotas> = fc.record({
  vcpus: fc.constantFrom(64, 4, 2),
  memMib: fc.constantFrom(65_536, 1024, 256),
  running: fc.constantFrom(64, 2, 1, 0),
  warm: fc.constantFrom(64, 1, 0),
  pools: fc.constantFrom(4, 1),
  instancesPerPool: fc.constantFrom(8, 2, 1),
  diskGib: fc.constantFrom(8, 1),
});
const settings: fc.Arbitrary<PoolSettings> = fc.record({
  hasImage: fc.constantFrom(true, true, true, false),
  vcpus: fc.constantFrom(1, 2),
  memMib: fc.constantFrom(64, 192),
  diskMib: fc.constantFrom(0, 8, 600),
  compression: fc.constantFrom('none', 'none', 'lz4', 'zstd'),
});
const tenant = fc.constantFrom(...TENANTS);
const pool = fc.constantFrom(...POOLS);
const netId = fc.constantFrom(...NET_IDS);

const object: fc.Arbitrary<ModelOperation> = fc.oneof(
  fc.record({ op: fc.constant('ensure-tenant' as const), tenant, netId, quotas }),
  fc.record({ op: fc.constantFrom('setup' as const, 'teardown' as const), tenant, netId }),
  fc.record({ op: fc.constant('remove-tenant' as const), tenant }),
  fc.record({ op: fc.constant('ensure-pool' as const), tenant, pool, settings }),
  fc.record({ op: fc.constant('remove-pool' as const), tenant, pool }),
);

/** Requests of every kind, most of them on instances, and most of those such that they fit. */
export const drawnOperation: fc.Arbitrary<DrawnOperation> = fc.oneof(
  {
    weight: 18,
    arbitrary: fc.record({
      kind: fc.constant('fitting' as const),
      known: fc.nat(5),
      nth: fc.nat(39),
      flag: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('operate' as const),
      op: fc.constantFrom(...INSTANCE_OPERATIONS),
      target,
      flag: fc.boolean(),
    }),
  },
  {
    weight: 2,
    arbitrary: at.map((where) => ({
      kind: 'given' as const,
      operation: { op: 'create' as const, at: where },
    })),
  },
  { weight: 2, arbitrary: object.map((operation) => ({ kind: 'given' as const, operation })) },
);

/** The n-th instance that there is, counted round; null when there is none. */
export function nthInstance(state: State, n: number): At | null {
  const all = instancesOf(state);
  return all.length === 0 ? null : (all[n % all.length]?.at ?? null);
}

/** The operation that was drawn, for this state; null when there is no instance for it. */
export function operationOf(made: DrawnOperation, state: State): ModelOperation | null {
  if (made.kind === 'given') return made.operation;
  if (made.kind === 'operate') {
    const where = 'named' in made.target ? made.target.named : nthInstance(state, made.target.known);
    return where === null ? null : { op: made.op, at: where, flag: made.flag };
  }
  const all = instancesOf(state);
  const chosen = all[made.known % Math.max(1, all.length)];
  if (chosen === undefined) return null;
  const ops = FITTING[chosen.instance.status];
  return { op: ops[made.nth % ops.length] as InstanceOp, at: chosen.at, flag: made.flag };
}

const TYPE_OF = {
  start: 'StartInstance',
  stop: 'StopInstance',
  wake: 'WakeInstance',
  warm: 'WarmInstance',
  resume: 'ResumeInstance',
} as const;

/** The request as it goes over the socket. */
export function requestOf(operation: ModelOperation): V2Request {
  switch (operation.op) {
    case 'create':
      return { type: 'CreateInstance', ...addressOf(operation.at) };
    case 'sleep':
      return { type: 'SleepInstance', ...addressOf(operation.at), force: operation.flag };
    case 'reboot':
      return { type: 'RebootInstance', ...addressOf(operation.at), force: true };
    case 'destroy':
      return { type: 'DestroyInstance', ...addressOf(operation.at), wipe_volumes: operation.flag };
    case 'ensure-tenant': {
      const { vcpus, memMib, running, warm, pools, instancesPerPool, diskGib } = operation.quotas;
      return {
        type: 'EnsureTenant',
        tenant_id: operation.tenant,
        net: netOf(operation.netId),
        quotas: {
          max_vcpus: vcpus,
          max_mem_mib: memMib,
          max_running: running,
          max_warm: warm,
          max_pools: pools,
          max_instances_per_pool: instancesPerPool,
          max_disk_gib: diskGib,
        },
      };
    }
    case 'setup':
      return { type: 'SetupNetwork', tenant_id: operation.tenant, net: netOf(operation.netId) };
    case 'teardown':
      return { type: 'TeardownNetwork', tenant_id: operation.tenant, net: netOf(operation.netId) };
    case 'remove-tenant':
      return { type: 'RemoveTenant', tenant_id: operation.tenant };
    case 'ensure-pool': {
      const { hasImage, vcpus, memMib, diskMib, compression } = operation.settings;
      return {
        type: 'EnsurePool',
        tenant_id: operation.tenant,
        pool_id: operation.pool,
        spec: poolSpec({
          flake_ref: hasImage ? 'demo' : 'not-registered',
          instance_resources: { vcpus, mem_mib: memMib, data_disk_mib: diskMib },
          snapshot_compression: compression,
        }),
      };
    }
    case 'remove-pool':
      return { type: 'RemovePool', tenant_id: operation.tenant, pool_id: operation.pool };
    default:
      return { type: TYPE_OF[operation.op], ...addressOf(operation.at) };
  }
}

/** A request as a line of a counterexample. */
export function operationText(operation: ModelOperation): string {
  if ('at' in operation) {
    const flag =
      'flag' in operation && operation.flag
        ? { sleep: ' force', destroy: ' wipe' }[operation.op as string]
        : undefined;
    return `${operation.op} ${operation.at.tenant}/${operation.at.pool}/${operation.at.id}${flag ?? ''}`;
  }
  const { op, ...rest } = operation;
  return `${op} ${JSON.stringify(rest)}`;
}
