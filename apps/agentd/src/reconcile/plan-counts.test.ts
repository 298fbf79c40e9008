import type { Hold } from '@mvm/agentd-api';
import type { InstanceView } from '@mvm/protocol';
import type { DesiredState } from '@mvm/protocol/state';
import { beforeEach, describe, expect, it } from 'vitest';
import { desiredPool, desiredState, desiredTenant } from '../../test/model/desired.js';
import { DEMO_IMAGE, ModelHost } from '../../test/model/model-host.js';
import { NO_OVERRIDES, observeModel, quietContext } from '../../test/model/observe-model.js';
import { failureKey } from './actions.js';
import { plan } from './plan.js';
import { requestFor } from './requests.js';
import { isConverged } from './status.js';
import type { Overrides, Plan, PlanContext } from './types.js';

const NOW = Date.parse('2026-06-01T12:00:00Z');
let host: ModelHost;

function planNow(
  desired: DesiredState,
  overrides: Partial<Overrides> = {},
  context: Partial<PlanContext> = {},
): Plan {
  return plan({
    desired,
    observed: observeModel(host),
    overrides: { ...NO_OVERRIDES, ...overrides },
    context: quietContext(host.nowMs, context),
  });
}

/** `kind last-digit-of-the-id` of the actions on instances. */
function moves(result: Plan): string[] {
  return result.actions.flatMap((action) => {
    if (action.kind.startsWith('ensure_')) return [];
    return 'instance_id' in action ? `${action.kind} ${action.instance_id.at(-1)}` : action.kind;
  });
}

function reasons(result: Plan): string[] {
  return result.problems.map((problem) => `${problem.kind} ${problem.reason}`);
}

/** Plan and carry out, a second apart, until there is nothing to do; the moves of each pass that had any. */
function converge(desired: DesiredState, overrides: Partial<Overrides> = {}): string[][] {
  const passes: string[][] = [];
  for (let pass = 0; pass < 20; pass += 1) {
    const result = planNow(desired, overrides);
    if (result.actions.length === 0) return passes;
    for (const action of result.actions) {
      host.nowMs += 1;
      host.handle(requestFor(action));
    }
    host.nowMs += 1000;
    if (moves(result).length > 0) passes.push(moves(result));
  }
  throw new Error('not converged after 20 passes');
}

function pool(
  [running, warm, sleeping]: readonly [number, number, number],
  fields: Record<string, unknown> = {},
  quotas: Record<string, number> = {},
): DesiredState {
  return desiredState([
    desiredTenant('acme', 3, [desiredPool('workers', { running, warm, sleeping, ...fields })], quotas),
  ]);
}

function view(number: number): InstanceView {
  const found = [...host.instances.values()][number - 1];
  if (found === undefined) throw new Error(`no instance ${number}`);
  return found;
}

/** The states of all instances, in the order in which they were created. */
const states = (): string[] => [...host.instances.values()].map(({ status }) => status);

beforeEach(() => {
  host = new ModelHost(NOW);
});

describe('warm and sleeping instances', () => {
  it('come out of instances that were booted for it, once as many run as are wanted', () => {
    expect(converge(pool([2, 1, 2]))).toEqual([
      ['create', 'create'],
      ['start 1', 'start 2'],
      ['create', 'create', 'create'],
      ['start 3', 'start 4', 'start 5'],
      ['sleep 5', 'sleep 4', 'warm 3'],
    ]);
    expect(states()).toEqual(['running', 'running', 'warm', 'sleeping', 'sleeping']);
    expect(isConverged(planNow(pool([2, 1, 2])))).toBe(true);
  });

  it('stay where they are', () => {
    converge(pool([2, 1, 2]));
    host.nowMs += 86_400_000;
    expect(moves(planNow(pool([2, 1, 2])))).toEqual([]);
  });

  it('are neither paused nor put to sleep before the guest has booted', () => {
    host.agentAfterMs = 10_000;
    converge(pool([1, 0, 1]));
    const waiting = planNow(pool([1, 0, 1]));
    expect(waiting.problems).toMatchObject([
      { kind: 'waiting', reason: 'instance.booting', until: new Date(host.nowMs + 1000).toISOString() },
    ]);
    expect(isConverged(waiting)).toBe(false);
    host.nowMs += 10_000;
    expect(moves(planNow(pool([1, 0, 1])))).toEqual(['sleep 2']);
  });

  it('need no agent: after the time of grace a guest counts as booted', () => {
    host.agentAfterMs = Number.POSITIVE_INFINITY;
    converge(pool([0, 0, 1]));
    expect(states()).toEqual(['running']);
    host.nowMs += 60_000;
    converge(pool([0, 0, 1]));
    expect(states()).toEqual(['sleeping']);
  });

  it('run for the minimum time first; they drain for the time that the pool gives them', () => {
    const policy = { runtime_policy: { min_running_seconds: 90, drain_timeout_seconds: 7 } };
    converge(pool([0, 1, 0], policy));
    const startedMs = Date.parse(view(1).status_since ?? '');
    expect(planNow(pool([0, 0, 1], policy)).problems).toMatchObject([
      { reason: 'instance.min_running', until: new Date(startedMs + 90_000).toISOString() },
    ]);
    host.nowMs += 90_000;
    expect(planNow(pool([0, 0, 1], policy)).actions.at(-1)).toMatchObject({
      kind: 'sleep',
      drain_timeout_seconds: 7,
    });
  });
});

describe('more are to run', () => {
  it('wakes, resumes, starts and creates, in this order, and then makes up for what it took', () => {
    converge(pool([1, 1, 1]));
    converge(pool([1, 1, 1]));
    converge(pool([2, 1, 1]));
    expect(states()).toEqual(['running', 'warm', 'running', 'sleeping']);
    converge(pool([1, 1, 1]));
    expect(states()).toEqual(['running', 'warm', 'stopped', 'sleeping']);
    expect(moves(planNow(pool([5, 1, 1])))).toEqual(['wake 4', 'resume 2', 'start 3', 'create']);
  });

  it('takes first those that are beyond their own count', () => {
    converge(pool([0, 1, 1]));
    expect(moves(planNow(pool([1, 0, 1])))).toEqual(['resume 1']);
    expect(moves(planNow(pool([1, 1, 0])))).toEqual(['wake 2']);
  });

  it('resumes where a quota does not let it wake', () => {
    const quotas = { max_running: 2 };
    converge(pool([1, 1, 1], {}, quotas));
    expect(states()).toEqual(['running', 'sleeping', 'warm']);
    const desired = pool([2, 1, 1], {}, quotas);
    expect(converge(desired)).toEqual([['resume 3']]);
    expect(reasons(planNow(desired))).toEqual(['blocked quota.max_running']);
  });

  it('uses a sleeping one whose hold has ended, instead of starting another', () => {
    converge(pool([2, 0, 0]));
    const { tenant_id, pool_id, instance_id } = view(1);
    host.handle({ type: 'SleepInstance', tenant_id, pool_id, instance_id, force: false });
    const until = new Date(host.nowMs + 60_000).toISOString();
    const hold: Hold = { tenant_id, pool_id, instance_id, kind: 'manual_sleep', since: until, until };
    expect(moves(planNow(pool([2, 0, 0]), { holds: [hold] }))).toEqual([]);
    host.nowMs += 60_000;
    expect(moves(planNow(pool([2, 0, 0]), { holds: [hold] }))).toEqual(['wake 1']);
  });
});

describe('a hold', () => {
  it('on a warm or a sleeping one keeps its slot too', () => {
    converge(pool([1, 1, 0]));
    const { tenant_id, pool_id, instance_id } = view(2);
    host.handle({ type: 'StopInstance', tenant_id, pool_id, instance_id });
    const until = new Date(host.nowMs + 60_000).toISOString();
    const hold: Hold = { tenant_id, pool_id, instance_id, kind: 'manual_stop', since: until, until };
    expect(moves(planNow(pool([1, 1, 0]), { holds: [hold] }))).toEqual([]);
    expect(moves(planNow(pool([1, 1, 0])))).toEqual(['start 2']);
  });
});

describe('fewer are wanted', () => {
  it('discards the oldest snapshot first, down to none', () => {
    converge(pool([0, 0, 3]));
    host.nowMs += 60_000;
    Object.assign(view(2), { status_since: new Date(NOW - 1000).toISOString() });
    const [stop] = planNow(pool([0, 0, 2])).actions.filter(({ kind }) => kind === 'stop');
    expect(stop).toMatchObject({
      instance_id: view(2).instance_id,
      reason: expect.stringContaining('snapshot'),
    });
    converge(pool([0, 0, 0]));
    expect(states()).toEqual(['stopped', 'stopped', 'stopped']);
  });

  it('puts a warm one to sleep where a sleeping one lacks, and wakes a sleeping one to become warm', () => {
    converge(pool([0, 1, 0]));
    expect(converge(pool([0, 0, 1]))).toEqual([['sleep 1']]);
    expect(converge(pool([0, 1, 0]))).toEqual([['wake 1'], ['warm 1']]);
  });

  it('leaves a warm one warm for the minimum time', () => {
    const policy = { runtime_policy: { min_running_seconds: 0, min_warm_seconds: 30 } };
    converge(pool([0, 1, 0], policy));
    const untilMs = Date.parse(view(1).status_since ?? '') + 30_000;
    for (const counts of [
      [0, 0, 0],
      [0, 0, 1],
    ] as const) {
      const result = planNow(pool(counts, policy));
      expect(moves(result)).toEqual([]);
      expect(result.problems).toMatchObject([
        { reason: 'instance.min_warm', until: new Date(untilMs).toISOString() },
      ]);
    }
    host.nowMs = untilMs;
    expect(moves(planNow(pool([0, 0, 0], policy)))).toEqual(['stop 1']);
  });

  it('stops nothing that is pinned, and reaches the counts that need no stop', () => {
    const overrides = { pinned: ['acme'] };
    converge(pool([0, 0, 1]), overrides);
    expect(states()).toEqual(['sleeping']);
    const result = planNow(pool([0, 0, 0]), overrides);
    expect(moves(result)).toEqual([]);
    expect(reasons(result)).toEqual(['protected pool.pinned']);
  });
});

describe('what is in the way of warm and sleeping ones', () => {
  it('is the quota max_warm, before anything is booted for it', () => {
    const desired = pool([1, 2, 0], {}, { max_warm: 1 });
    converge(desired);
    expect(states()).toEqual(['running', 'warm']);
    expect(reasons(planNow(desired))).toEqual(['blocked quota.max_warm']);
  });

  it('is a quota that leaves no room to boot one', () => {
    const desired = pool([1, 0, 1], {}, { max_running: 1 });
    converge(desired);
    expect(states()).toEqual(['running']);
    expect(planNow(desired).problems).toMatchObject([
      {
        kind: 'blocked',
        reason: 'quota.max_running',
        message: expect.stringContaining('have to boot first'),
      },
    ]);
  });

  it('is a sleep that failed: it waits, and no other is put to sleep in its place', () => {
    converge(pool([2, 0, 0]));
    const lastAtMs = host.nowMs;
    const error = { code: 'resource_exhausted', reason: 'disk.full', message: 'no space' };
    const failures = {
      [failureKey('sleep', 'acme/workers/i-00000002')]: {
        count: 1,
        lastAtMs,
        retryAtMs: lastAtMs + 9000,
        ...error,
      },
    };
    const result = planNow(pool([1, 0, 1]), {}, { failures });
    expect(moves(result)).toEqual([]);
    expect(reasons(result)).toEqual(['backoff disk.full']);
    host.nowMs += 9000;
    expect(moves(planNow(pool([1, 0, 1]), {}, { failures }))).toEqual(['sleep 2']);
  });
});

describe('a snapshot that cannot be used', () => {
  it('stays, is reported, and others take its place', () => {
    converge(pool([1, 0, 1]));
    host.damage(view(2));
    expect(converge(pool([1, 0, 1]))).toEqual([['create'], ['start 3'], ['sleep 3']]);
    const result = planNow(pool([1, 0, 1]));
    expect(result.problems).toMatchObject([
      {
        kind: 'failed',
        reason: 'instance.wake_failed',
        instance_id: view(2).instance_id,
        message: expect.stringMatching(/sha256.*mvm instance stop/),
      },
    ]);
    expect(isConverged(result)).toBe(true);
    expect(moves(planNow(pool([0, 0, 0])))).toEqual(['stop 1', 'stop 3']);
  });

  it('is tried again before a new instance is created, and not waited for', () => {
    converge(pool([0, 0, 1]));
    host.damage(view(1));
    expect(moves(planNow(pool([1, 0, 0])))).toEqual(['wake 1']);
    const record = { count: 1, lastAtMs: host.nowMs, retryAtMs: host.nowMs + 1000 };
    const error = { code: 'failed_precondition', reason: 'snapshot.damaged', message: 'no' };
    const failures = { [failureKey('wake', 'acme/workers/i-00000001')]: { ...record, ...error } };
    expect(moves(planNow(pool([1, 0, 0]), {}, { failures }))).toEqual(['create']);
  });

  it('whose wake failed for another reason keeps its slot until it is tried again', () => {
    converge(pool([0, 0, 1]));
    const record = { count: 1, lastAtMs: host.nowMs, retryAtMs: host.nowMs + 1000 };
    const error = { code: 'unavailable', reason: 'vmm.connection_lost', message: 'no' };
    const failures = { [failureKey('wake', 'acme/workers/i-00000001')]: { ...record, ...error } };
    const result = planNow(pool([1, 0, 0]), {}, { failures });
    expect(moves(result)).toEqual([]);
    expect(reasons(result)).toEqual(['backoff vmm.connection_lost']);
  });
});

describe('another image', () => {
  const digest = `sha256:${'1'.repeat(64)}`;

  it('leaves what is warm or asleep as it is, says so, and uses it last', () => {
    converge(pool([0, 0, 2]));
    host.images = [{ ...DEMO_IMAGE, digest }];
    for (const action of planNow(pool([0, 0, 2])).actions) host.handle(requestFor(action));
    Object.assign(view(1), { image: { name: 'demo', digest } });
    const result = planNow(pool([0, 0, 2]));
    expect(result.problems).toMatchObject([{ kind: 'outdated', instance_id: view(2).instance_id }]);
    expect(isConverged(result)).toBe(true);
    expect(moves(planNow(pool([1, 0, 2])))).toEqual(['wake 1']);
    expect(moves(planNow(pool([0, 0, 1])))).toEqual(['stop 2']);
  });

  it('is what the pool boots once it is registered, and one that is damaged is not', () => {
    converge(pool([1, 0, 0]));
    host.images = [{ ...DEMO_IMAGE, digest, problem: 'rootfs.ext4 is missing' }];
    expect(planNow(pool([1, 0, 0])).actions).toEqual([]);
    host.images = [{ ...DEMO_IMAGE, digest }];
    const { actions } = planNow(pool([1, 0, 0]));
    const why = 'the image demo is sha256:111111111111 now, and the pool boots sha256:000000000000';
    expect(actions).toMatchObject([{ kind: 'ensure_pool', pool_id: 'workers', reason: why }]);
    for (const action of actions) host.handle(requestFor(action));
    expect(planNow(pool([1, 0, 0])).actions).toEqual([]);
    expect(view(1).image?.digest).toBe(DEMO_IMAGE.digest);
    const { tenant_id, pool_id, instance_id } = view(1);
    host.handle({ type: 'StopInstance', tenant_id, pool_id, instance_id, force: true });
    converge(pool([1, 0, 0]));
    expect(view(1).image?.digest).toBe(digest);
  });
});

describe('light 2: what is started manually is held as what is stopped manually', () => {
  const hold = (target: InstanceView, kind: Hold['kind']): Hold => {
    const { tenant_id, pool_id, instance_id } = target;
    const since = new Date(host.nowMs).toISOString();
    return {
      tenant_id,
      pool_id,
      instance_id,
      kind,
      since,
      until: new Date(host.nowMs + 900_000).toISOString(),
    };
  };
  const idsOf = ({ tenant_id, pool_id, instance_id }: InstanceView) => ({ tenant_id, pool_id, instance_id });

  it.each([
    ['resume', 'ResumeInstance', 2],
    ['wake', 'WakeInstance', 3],
  ] as const)(
    '%s: no other is stopped, paused or booted, and both run until the hold ends',
    (_, type, number) => {
      converge(pool([1, 1, 1]));
      expect(states()).toEqual(['running', 'warm', 'sleeping']);
      host.handle({ type, ...idsOf(view(number)) });
      const holds = [hold(view(number), 'manual_run')];
      const held = planNow(pool([1, 1, 1]), { holds });
      expect(moves(held)).toEqual([]);
      expect(held.problems).toMatchObject([{ kind: 'hold', reason: 'instance.manual_run' }]);
      expect(held.pools).toMatchObject([{ held: 1 }]);
      host.nowMs += 900_001;
      expect(moves(planNow(pool([1, 1, 1]), { holds }))).toEqual([
        number === 2 ? 'warm 2' : `sleep ${number}`,
      ]);
    },
  );

  it('start: a stopped one runs beside the wanted ones', () => {
    converge(pool([2, 0, 0]));
    converge(pool([1, 0, 0]));
    host.handle({ type: 'StartInstance', ...idsOf(view(2)) });
    expect(moves(planNow(pool([1, 0, 0]), { holds: [hold(view(2), 'manual_run')] }))).toEqual([]);
    expect(moves(planNow(pool([1, 0, 0])))).toEqual(['stop 2']);
  });

  it('fills a slot that is open, and is no deviation then', () => {
    converge(pool([2, 0, 0]));
    const filled = planNow(pool([2, 0, 0]), { holds: [hold(view(2), 'manual_run')] });
    expect(moves(filled)).toEqual([]);
    expect(filled.problems).toEqual([]);
    expect(filled.pools).toMatchObject([{ held: 0 }]);
    expect(isConverged(filled)).toBe(true);
  });

  it('does not keep down one that has crashed', () => {
    converge(pool([1, 0, 0]));
    const holds = [hold(view(1), 'manual_run')];
    host.crash(view(1));
    expect(moves(planNow(pool([1, 0, 0]), { holds }))).toEqual(['start 1']);
  });
});

describe('light 3: an image that is not there is a problem before the next start', () => {
  it.each([
    ['not registered', [], 'image.not_found'],
    ['damaged', [{ ...DEMO_IMAGE, problem: 'the kernel is gone' }], 'image.damaged'],
  ])('%s', (_, images, reason) => {
    converge(pool([1, 1, 0]));
    expect(isConverged(planNow(pool([1, 1, 0])))).toBe(true);
    host.images = images;
    const result = planNow(pool([1, 1, 0]));
    expect(moves(result)).toEqual([]);
    expect(reasons(result)).toEqual([`blocked ${reason}`]);
    expect(isConverged(result)).toBe(false);
  });
});

describe('light 9: what is stopped beyond the counts', () => {
  const policy = { destroy_stopped_after_seconds: 60 };

  it('is kept where the pool does not say otherwise', () => {
    converge(pool([3, 0, 0]));
    converge(pool([1, 0, 0]));
    host.nowMs += 86_400_000;
    expect(moves(planNow(pool([1, 0, 0])))).toEqual([]);
    expect(host.instances.size).toBe(3);
  });

  it('is destroyed after the time that the pool says, and nothing else is', () => {
    converge(pool([3, 0, 0], policy));
    converge(pool([1, 0, 0], policy));
    expect(states()).toEqual(['running', 'stopped', 'stopped']);
    host.nowMs += 30_000;
    expect(moves(planNow(pool([1, 0, 0], policy)))).toEqual([]);
    host.nowMs += 40_000;
    converge(pool([1, 0, 0], policy));
    expect(states()).toEqual(['running']);
  });

  it('stays as far as the counts may need it: one that crashed is started again, not destroyed', () => {
    converge(pool([1, 0, 0], { destroy_stopped_after_seconds: 0 }));
    host.crash(view(1));
    expect(moves(planNow(pool([1, 0, 0], { destroy_stopped_after_seconds: 0 })))).toEqual(['start 1']);
  });

  it('stays when it is held, or the pool is pinned', () => {
    converge(pool([2, 0, 0], policy));
    converge(pool([1, 0, 0], policy));
    host.nowMs += 70_000;
    expect(moves(planNow(pool([1, 0, 0], policy), { pinned: ['acme'] }))).toEqual([]);
    expect(moves(planNow(pool([1, 0, 0], policy)))).toEqual(['destroy 2']);
  });
});
