import { nothing, type StepExecutor } from './executor.js';

export const commitRunning: StepExecutor<'instance.commit_running'> = {
  execute: async ({ address, image, resources, at, secretsEpoch }, { store }) => {
    const instance = store.instance(address);
    if (instance === undefined) throw new Error('the instance is gone while it is being started');
    await store.saveInstance({
      ...instance,
      status: 'running',
      revision_hash: image.digest.slice('sha256:'.length),
      running_with: { image: { name: image.name, digest: image.digest }, resources: { ...resources } },
      last_started_at: at,
      entered_running_at: at,
      entered_warm_at: null,
      stop_reason: null,
      ...(secretsEpoch === undefined ? {} : { secrets_epoch: secretsEpoch }),
    });
  },
  undo: nothing,
};

export const commitSleeping: StepExecutor<'instance.commit_sleeping'> = {
  execute: async ({ address, at }, { store }) => {
    const instance = store.instance(address);
    // Already committed, when a plan is repeated.
    if (instance === undefined || instance.status === 'sleeping') return;
    await store.saveInstance({
      ...instance,
      status: 'sleeping',
      firecracker_pid: null,
      vm: null,
      last_stopped_at: at,
      entered_running_at: null,
      entered_warm_at: null,
    });
  },
  undo: nothing,
};

export const commitWarm: StepExecutor<'instance.commit_warm'> = {
  execute: async ({ address, at }, { store }) => {
    const instance = store.instance(address);
    if (instance === undefined) throw new Error('the instance is gone while it is being paused');
    await store.saveInstance({ ...instance, status: 'warm', entered_running_at: null, entered_warm_at: at });
  },
  undo: nothing,
};

export const commitResumed: StepExecutor<'instance.commit_resumed'> = {
  execute: async ({ address, at }, { store }) => {
    const instance = store.instance(address);
    if (instance === undefined) throw new Error('the instance is gone while it is being resumed');
    await store.saveInstance({
      ...instance,
      status: 'running',
      entered_running_at: at,
      entered_warm_at: null,
    });
  },
  undo: nothing,
};

/** Reasons of an end without a request. */
const ENDED_BY_ITSELF: ReadonlySet<string> = new Set(['exited', 'lost']);

export const commitStopped: StepExecutor<'instance.commit_stopped'> = {
  execute: async ({ address, at, reason }, { store }) => {
    const instance = store.instance(address);
    // Already committed, when a plan is repeated.
    if (instance === undefined || instance.status === 'stopped') return;
    await store.saveInstance({
      ...instance,
      status: 'stopped',
      firecracker_pid: null,
      vm: null,
      running_with: null,
      last_stopped_at: at,
      entered_running_at: null,
      entered_warm_at: null,
      stop_reason: reason,
      ...(ENDED_BY_ITSELF.has(reason.kind)
        ? { exit_count: (instance.exit_count ?? 0) + 1, last_exit: reason }
        : {}),
    });
  },
  undo: nothing,
};

export const instanceRemove: StepExecutor<'instance.remove'> = {
  execute: ({ address }, { store }) => store.removeInstance(address),
  undo: nothing,
};

export const instanceCreate: StepExecutor<'instance.create'> = {
  execute: ({ record }, { store }) => store.saveInstance(record),
  undo: ({ record }, { store }) => store.removeInstance(record),
};

export const instancePrepare: StepExecutor<'instance.prepare'> = {
  execute: async ({ address }, { store }) => {
    const instance = store.instance(address);
    // Already done, when a plan is repeated.
    if (instance?.status !== 'created') return;
    await store.saveInstance({ ...instance, status: 'ready' });
  },
  undo: nothing,
};

export const poolSave: StepExecutor<'pool.save'> = {
  execute: ({ record }, { images }) => images.save(record),
  // Of a pool that could not be recorded, its directory may be there.
  undo: async ({ record, before }, { images }) => {
    if (before !== null) await images.save(before);
    else await images.remove(record);
  },
};

export const poolRemove: StepExecutor<'pool.remove'> = {
  execute: ({ pool }, { images }) => images.remove(pool),
  undo: nothing,
};

export const imageActivate: StepExecutor<'image.activate'> = {
  execute: ({ pool, image }, { images }) => images.activate(pool, image),
  undo: nothing,
};

export const tenantSave: StepExecutor<'tenant.save'> = {
  execute: ({ record }, { store }) => store.saveTenant(record),
  undo: async ({ record, before }, { store }) => {
    if (before !== null) await store.saveTenant(before);
    else if (store.tenant(record.tenant_id) !== undefined) await store.removeTenant(record.tenant_id);
  },
};

export const tenantRemove: StepExecutor<'tenant.remove'> = {
  execute: ({ tenantId }, { store }) => store.removeTenant(tenantId),
  undo: nothing,
};
