import type { V2Request } from '@mvm/protocol';
import {
  EXTRA_POOL,
  FRESH,
  KEEPER,
  LATE_POOL,
  latePoolSpec,
  NETWORK,
  NETWORK_TENANT,
  OTHER_NETWORK,
  poolSpec,
  QUOTAS,
  SPARE,
  type State,
  type SubjectName,
} from './subjects.js';

/** One operation as it is crashed: from where, to where, and from which step on it counts as done. */
export interface Scenario {
  /** Unique; the first part of a case's id. */
  readonly name: string;
  /** hostd's name, for failpoints. */
  readonly operation: string;
  /** hostd's name for the operation that a step belongs to, where that is another one. */
  readonly operationOf?: Readonly<Record<string, string>>;
  readonly subject: Exclude<SubjectName, 'bystander'>;
  readonly from: State;
  readonly to: State;
  /** Null: nobody asks, the VMM is killed. */
  readonly request: V2Request | null;
  /**
   * The step whose effect makes the operation true: a crash before it leaves `from`, one after it `to`. `journal`: from
   * the moment that the plan is durable, it is finished.
   */
  readonly commit: string;
  /** What recovery does with its journal: nothing when it has none, or takes what the records say. */
  readonly recovery: 'undo' | 'finish' | 'commit' | 'none';
  /** What the same request is answered once it is done. */
  readonly repeated: 'ok' | 'refused';
}

const tenant = { tenant_id: NETWORK_TENANT } as const;

/** Every operation of hostd that changes something in more than one step, or in one. */
export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'sleep',
    operation: 'sleep',
    subject: 'keeper',
    from: 'running',
    to: 'sleeping',
    request: { type: 'SleepInstance', ...KEEPER, force: false },
    commit: 'snapshot.commit',
    recovery: 'commit',
    repeated: 'refused',
  },
  {
    name: 'wake',
    operation: 'wake',
    subject: 'keeper',
    from: 'sleeping',
    to: 'running',
    request: { type: 'WakeInstance', ...KEEPER },
    commit: 'snapshot.consume',
    recovery: 'commit',
    repeated: 'refused',
  },
  {
    name: 'warm',
    operation: 'warm',
    subject: 'keeper',
    from: 'running',
    to: 'warm',
    request: { type: 'WarmInstance', ...KEEPER },
    commit: 'instance.commit_warm',
    recovery: 'none',
    repeated: 'refused',
  },
  {
    name: 'resume',
    operation: 'resume',
    subject: 'keeper',
    from: 'warm',
    to: 'running',
    request: { type: 'ResumeInstance', ...KEEPER },
    commit: 'instance.commit_resumed',
    recovery: 'undo',
    repeated: 'refused',
  },
  {
    name: 'sleep of a warm one',
    operation: 'sleep',
    subject: 'keeper',
    from: 'warm',
    to: 'sleeping',
    request: { type: 'SleepInstance', ...KEEPER, force: true },
    commit: 'snapshot.commit',
    recovery: 'commit',
    repeated: 'refused',
  },
  {
    name: 'start',
    operation: 'start',
    subject: 'spare',
    from: 'idle',
    to: 'running',
    request: { type: 'StartInstance', ...SPARE },
    commit: 'instance.commit_running',
    recovery: 'undo',
    repeated: 'refused',
  },
  {
    name: 'stop',
    operation: 'stop',
    subject: 'spare',
    from: 'running',
    to: 'idle',
    request: { type: 'StopInstance', ...SPARE },
    commit: 'journal',
    recovery: 'finish',
    repeated: 'refused',
  },
  {
    name: 'start of a new one',
    operation: 'start',
    subject: 'fresh',
    from: 'new',
    to: 'running',
    request: { type: 'StartInstance', ...FRESH },
    commit: 'instance.commit_running',
    recovery: 'undo',
    repeated: 'refused',
  },
  {
    name: 'create',
    operation: 'create',
    subject: 'spare',
    from: 'absent',
    to: 'idle',
    request: { type: 'CreateInstance', ...SPARE },
    commit: 'instance.create',
    recovery: 'none',
    repeated: 'refused',
  },
  {
    name: 'destroy',
    operation: 'destroy',
    subject: 'spare',
    from: 'running',
    to: 'absent',
    request: { type: 'DestroyInstance', ...SPARE, wipe_volumes: true },
    commit: 'journal',
    recovery: 'finish',
    repeated: 'refused',
  },
  {
    name: 'reap',
    operation: 'reap',
    subject: 'spare',
    from: 'running',
    to: 'idle',
    request: null,
    // A VM that has ended is found to have ended, whether its end was seen or not.
    commit: 'start',
    recovery: 'finish',
    repeated: 'ok',
  },
  {
    name: 'stop of a sleeping one',
    operation: 'stop',
    subject: 'spare',
    from: 'sleeping',
    to: 'idle',
    request: { type: 'StopInstance', ...SPARE },
    commit: 'journal',
    recovery: 'finish',
    repeated: 'refused',
  },
  {
    name: 'destroy of a sleeping one',
    operation: 'destroy',
    subject: 'spare',
    from: 'sleeping',
    to: 'absent',
    request: { type: 'DestroyInstance', ...SPARE, wipe_volumes: true },
    commit: 'journal',
    recovery: 'finish',
    repeated: 'refused',
  },
  {
    name: 'ensure pool',
    operation: 'ensure_pool',
    subject: 'pool',
    from: 'absent',
    to: 'up',
    request: { type: 'EnsurePool', ...EXTRA_POOL, spec: poolSpec(160) },
    commit: 'pool.save',
    recovery: 'none',
    repeated: 'ok',
  },
  {
    name: 'ensure pool, image at last',
    operation: 'ensure_pool',
    operationOf: { 'instance.prepare': 'prepare' },
    subject: 'fresh',
    from: 'new',
    to: 'idle',
    request: { type: 'EnsurePool', ...LATE_POOL, spec: latePoolSpec(160) },
    commit: 'instance.prepare',
    recovery: 'none',
    repeated: 'ok',
  },
  {
    name: 'remove pool',
    operation: 'remove_pool',
    subject: 'pool',
    from: 'up',
    to: 'absent',
    request: { type: 'RemovePool', ...EXTRA_POOL },
    commit: 'pool.remove',
    recovery: 'none',
    repeated: 'refused',
  },
  {
    name: 'setup network',
    operation: 'setup_network',
    subject: 'network',
    from: 'absent',
    to: 'up',
    request: { type: 'SetupNetwork', ...tenant, net: NETWORK },
    commit: 'tenant.save',
    recovery: 'none',
    repeated: 'ok',
  },
  {
    name: 'teardown network',
    operation: 'teardown_network',
    subject: 'network',
    from: 'up',
    to: 'down',
    request: { type: 'TeardownNetwork', ...tenant, net: NETWORK },
    commit: 'tenant.save',
    recovery: 'none',
    repeated: 'ok',
  },
  {
    name: 'ensure tenant',
    operation: 'ensure_tenant',
    subject: 'network',
    from: 'up',
    to: 'moved',
    request: { type: 'EnsureTenant', ...tenant, net: OTHER_NETWORK, quotas: QUOTAS },
    commit: 'tenant.save',
    recovery: 'none',
    repeated: 'ok',
  },
  {
    name: 'ensure tenant, new',
    operation: 'ensure_tenant',
    subject: 'network',
    from: 'absent',
    to: 'up',
    request: { type: 'EnsureTenant', ...tenant, net: NETWORK, quotas: QUOTAS },
    commit: 'tenant.save',
    recovery: 'none',
    repeated: 'ok',
  },
  {
    name: 'remove tenant',
    operation: 'remove_tenant',
    subject: 'network',
    from: 'moved',
    to: 'absent',
    request: { type: 'RemoveTenant', ...tenant },
    commit: 'tenant.remove',
    recovery: 'none',
    repeated: 'refused',
  },
];
