import type { Hold } from '@mvm/agentd-api';
import type { InstanceView } from '@mvm/protocol';
import type { DesiredState } from '@mvm/protocol/state';
import { beforeEach, describe, expect, it } from 'vitest';
import { desiredPool, desiredState, desiredTenant } from '../../test/model/desired.js';
import { ModelHost } from '../../test/model/model-host.js';
import { NO_OVERRIDES, observeModel, quietContext, sampleModel } from '../../test/model/observe-model.js';
import { type ActivityRecords, activityAfterObserving } from './activity.js';
import { plan } from './plan.js';
import { requestFor } from './requests.js';
import { isConverged } from './status.js';
import type { Overrides, Plan } from './types.js';

const POLICY = { warm_threshold_secs: 60, sleep_threshold_secs: 120, net_bytes_threshold: 1000 };
let host: ModelHost;
let records: ActivityRecords;
const inUse = new Set<string>();

beforeEach(() => {
  host = new ModelHost(Date.parse('2026-06-01T12:00:00Z'));
  records = {};
  inUse.clear();
});

function pool(running: number, fields: Record<string, unknown> = {}, quotas = {}): DesiredState {
  const one = desiredPool('workers', { running, sleep_policy: POLICY, ...fields });
  return desiredState([desiredTenant('acme', 3, [one], quotas)]);
}

function look(desired: DesiredState, overrides: Partial<Overrides> = {}): Plan {
  const observed = observeModel(host);
  const sample = sampleModel(host);
  records = activityAfterObserving(records, sample, desired, { ...observed, inUse });
  const activity = { records, monotonicMs: sample.monotonicMs };
  return plan({
    desired,
    observed,
    overrides: { ...NO_OVERRIDES, ...overrides },
    context: quietContext(host.nowMs, { activity, bootGraceMs: 0 }),
  });
}

/** Passes every ten seconds; what each did, as `kind number`. */
function pass(desired: DesiredState, seconds: number, overrides: Partial<Overrides> = {}): string[] {
  const done: string[] = [];
  for (let second = 0; second <= seconds; second += 10) {
    for (const action of look(desired, overrides).actions) {
      if ('instance_id' in action) done.push(`${action.kind} ${action.instance_id.at(-1)}`);
      host.handle(requestFor(action));
    }
    host.nowMs += 10_000;
  }
  return done;
}

const views = (): InstanceView[] => [...host.instances.values()];
const states = (): string =>
  views()
    .map(({ status }) => status)
    .join(' ');
const work = (index: number, seconds: number): void =>
  host.work(views()[index] as InstanceView, { cpuUsec: seconds * 100_000, bytes: 0 });

function hold(index: number, kind: Hold['kind']): Hold {
  const { tenant_id, pool_id, instance_id } = views()[index] as InstanceView;
  const since = new Date(host.nowMs).toISOString();
  return {
    tenant_id,
    pool_id,
    instance_id,
    kind,
    since,
    until: new Date(host.nowMs + 3_600_000).toISOString(),
  };
}

describe('an idle instance', () => {
  it('is paused, then put to sleep, and the pool is as desired all the time', () => {
    const desired = pool(1);
    pass(desired, 30);
    expect(states()).toBe('running');
    expect(pass(desired, 60)).toEqual(['warm 1']);
    expect(isConverged(look(desired))).toBe(true);
    expect(pass(desired, 60)).toEqual(['sleep 1']);
    expect(look(desired).pools[0]?.wanted).toEqual({ running: 0, warm: 0, sleeping: 1 });
    expect(pass(desired, 600)).toEqual([]);
    expect(isConverged(look(desired))).toBe(true);
  });

  it('is what uses little CPU time and network, and nothing else', () => {
    const desired = pool(3);
    pass(desired, 20);
    for (let look = 0; look < 30; look += 1) {
      work(0, 10);
      host.work(views()[1] as InstanceView, { cpuUsec: 0, bytes: 20_000 });
      pass(desired, 0);
    }
    expect(states()).toBe('running running sleeping');
    const rule = look(desired);
    expect(rule.actions).toEqual([]);
  });

  it('says what it was decided by', () => {
    const desired = pool(1, { sleep_policy: { ...POLICY, warm_threshold_secs: null } });
    pass(desired, 110);
    let planned = look(desired);
    for (let more = 0; planned.actions.length === 0 && more < 5; more += 1) {
      host.nowMs += 10_000;
      planned = look(desired);
    }
    expect(planned.actions).toMatchObject([
      {
        kind: 'sleep',
        reason: expect.stringContaining("the pool's sleep_threshold_secs is 120 s: put it to sleep"),
        rule: {
          name: 'sleep_policy.idle',
          values: { idle_seconds: expect.any(Number), cpu_percent: 0, net_bytes_per_second: 0 },
          thresholds: { sleep_threshold_secs: 120, cpu_threshold: 5, net_bytes_threshold: 1000 },
        },
      },
    ]);
  });

  it('runs on while it is one of the min_running ones', () => {
    const desired = pool(3, { sleep_policy: { ...POLICY, min_running: 2 } });
    pass(desired, 600);
    expect(states().split(' ').sort()).toEqual(['running', 'running', 'sleeping']);
  });

  it('goes straight to sleep in a pool that a connection wakes, for one that is paused could not be', () => {
    const publish = [{ protocol: 'tcp', host_port: 8080, guest_port: 80 }];
    const desired = pool(1, { network_policy: { publish } });
    expect(pass(desired, 600)).toEqual(['start 1', 'sleep 1']);
  });

  it('is not paused beyond the quota of warm ones, and sleeps later', () => {
    const desired = pool(2, {}, { max_warm: 1 });
    const done = pass(desired, 600).filter((each) => !each.startsWith('start'));
    expect(done).toEqual(
      ['warm 1', 'sleep 1', 'sleep 2'].map((each) => expect.stringContaining(each.slice(0, 5))),
    );
    expect(states()).toBe('sleeping sleeping');
  });

  it.each(['pinned', 'critical'] as const)('runs on in a %s pool', (protection) => {
    const overrides = { [protection]: ['acme/workers'] };
    expect(pass(pool(1), 600, overrides)).toEqual(['start 1']);
  });

  it('is busy while somebody has a session in it', () => {
    const desired = pool(1);
    pass(desired, 20);
    inUse.add('acme/workers/i-00000001');
    expect(pass(desired, 600)).toEqual([]);
    inUse.clear();
    expect(pass(desired, 40)).toEqual([]);
    expect(pass(desired, 20)).toEqual(['warm 1']);
  });

  it('is not touched while an operation on it is under way, nor soon after', () => {
    const desired = pool(1);
    pass(desired, 20);
    const view = views()[0] as InstanceView;
    view.operation = 'reboot';
    expect(pass(desired, 600)).toEqual([]);
    view.operation = null;
    expect(pass(desired, 40)).toEqual([]);
  });
});

describe('an operator', () => {
  it('who makes an instance run keeps it from sleeping', () => {
    const desired = pool(1);
    pass(desired, 20);
    const holds = [hold(0, 'manual_run')];
    expect(pass(desired, 600, { holds })).toEqual([]);
    expect(pass(desired, 600)).toEqual(['sleep 1']);
  });

  it('who puts an instance to sleep finds it asleep after the hold has ended', () => {
    const desired = pool(1);
    pass(desired, 20);
    const { tenant_id, pool_id, instance_id } = views()[0] as InstanceView;
    host.handle({ type: 'SleepInstance', tenant_id, pool_id, instance_id, force: false });
    expect(pass(desired, 60, { holds: [hold(0, 'manual_sleep')] })).toEqual([]);
    expect(pass(desired, 60)).toEqual([]);
  });

  it('who wakes one finds it running for min_running_seconds, and then until it is idle for long', () => {
    const desired = pool(1, { runtime_policy: { min_running_seconds: 300, min_warm_seconds: 0 } });
    pass(desired, 600);
    expect(states()).toBe('sleeping');
    const { tenant_id, pool_id, instance_id } = views()[0] as InstanceView;
    host.handle({ type: 'WakeInstance', tenant_id, pool_id, instance_id });
    expect(pass(desired, 280)).toEqual([]);
    expect(pass(desired, 60)).toEqual(['sleep 1']);
  });

  it('who wants more or fewer instances gets them: what works stays, what sleeps is let go', () => {
    pass(pool(3), 600);
    expect(states()).toBe('sleeping sleeping sleeping');
    const { tenant_id, pool_id, instance_id } = views()[1] as InstanceView;
    host.handle({ type: 'WakeInstance', tenant_id, pool_id, instance_id });
    expect(pass(pool(1), 20).sort()).toEqual(['stop 1', 'stop 3']);
    expect(states()).toBe('stopped running stopped');
    // Only what is missing is booted; what is idle meanwhile is no reason to boot another.
    pass(pool(2), 20);
    expect(states()).toBe('running running stopped');
  });
});

it('says that a hostd which does not tell how busy instances are is too old', () => {
  const desired = pool(1);
  const observed = observeModel(host);
  const planned = plan({ desired, observed, overrides: NO_OVERRIDES, context: quietContext(host.nowMs) });
  for (const action of planned.actions) host.handle(requestFor(action));
  const after = plan({
    desired,
    observed: observeModel(host),
    overrides: NO_OVERRIDES,
    context: quietContext(host.nowMs),
  });
  const pools = [...planned.problems, ...after.problems].map(({ reason }) => reason);
  expect(pools).toContain('sleep_policy.no_activity');
});
