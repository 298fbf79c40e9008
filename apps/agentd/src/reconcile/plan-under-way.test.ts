import type { InstanceView } from '@mvm/protocol';
import type { DesiredState } from '@mvm/protocol/state';
import { beforeEach, describe, expect, it } from 'vitest';
import { desiredPool, desiredState, desiredTenant } from '../../test/model/desired.js';
import { ModelHost } from '../../test/model/model-host.js';
import { NO_OVERRIDES, observeModel, quietContext } from '../../test/model/observe-model.js';
import { plan } from './plan.js';
import { requestFor } from './requests.js';
import { isConverged } from './status.js';
import type { Plan } from './types.js';

const NOW = Date.parse('2026-06-01T12:00:00Z');
let host: ModelHost;

function pool(running: number, warm: number, sleeping: number, quotas = {}): DesiredState {
  return desiredState([
    desiredTenant('acme', 3, [desiredPool('workers', { running, warm, sleeping })], quotas),
  ]);
}

function planNow(desired: DesiredState): Plan {
  return plan({
    desired,
    observed: observeModel(host),
    overrides: NO_OVERRIDES,
    context: quietContext(host.nowMs),
  });
}

function converge(desired: DesiredState): void {
  for (let pass = 0; pass < 20; pass += 1) {
    const { actions } = planNow(desired);
    if (actions.length === 0) return;
    for (const action of actions) {
      host.nowMs += 1;
      host.handle(requestFor(action));
    }
  }
  throw new Error('not converged after 20 passes');
}

function theOne(status: InstanceView['status']): InstanceView {
  const found = [...host.instances.values()].filter((view) => view.status === status);
  if (found.length !== 1) throw new Error(`${found.length} instances are ${status}`);
  return found[0] as InstanceView;
}

const moves = (result: Plan): string[] =>
  result.actions.map((action) => `${action.kind} ${'instance_id' in action ? action.instance_id : ''}`);

beforeEach(() => {
  host = new ModelHost(NOW);
});

describe('light 1: an operation under way is counted once, in the state that it leads to', () => {
  it.each([
    ['room for one warm', { max_warm: 1 }],
    ['room for more', { max_warm: 9 }],
  ])('a manual resume does not end the only VM that serves, with %s', (_, quotas) => {
    const desired = pool(1, 1, 1, quotas);
    converge(desired);
    const serving = theOne('running');
    const resumed = theOne('warm');
    host.begin({ type: 'ResumeInstance', ...idsOf(resumed) });
    host.nowMs += 10_000;
    const during = planNow(desired);
    expect(moves(during)).toEqual([]);
    expect(isConverged(during)).toBe(false);
    expect(during.problems.every(({ kind }) => kind === 'waiting')).toBe(true);

    host.finish(resumed, 'ok');
    converge(desired);
    // Nothing was stopped or booted: what runs too much was paused.
    expect([...host.instances.values()].map(({ status }) => status).sort()).toEqual([
      'running',
      'sleeping',
      'warm',
    ]);
    expect(host.instances.size).toBe(3);
    expect(serving.last_stopped_at).toBeNull();
  });

  it('a failed manual resume leaves everything as it was', () => {
    const desired = pool(1, 1, 1, { max_warm: 1 });
    converge(desired);
    host.begin({ type: 'ResumeInstance', ...idsOf(theOne('warm')) });
    expect(moves(planNow(desired))).toEqual([]);
    host.finish(theOne('warm'), 'failed');
    expect(moves(planNow(desired))).toEqual([]);
    expect(isConverged(planNow(desired))).toBe(true);
  });

  it('a quota that an operation under way is about to free is waited for, not reported as in the way', () => {
    const desired = pool(2, 0, 0, { max_running: 2 });
    converge(desired);
    const [first] = [...host.instances.values()] as [InstanceView];
    host.begin({ type: 'StopInstance', ...idsOf(first) });
    const during = planNow(desired);
    expect(during.problems.map(({ kind }) => kind)).not.toContain('blocked');
    expect(isConverged(during)).toBe(false);
    host.finish(first, 'ok');
    converge(desired);
    expect(host.runningIn('acme')).toBe(2);
  });

  it('is not as desired before the operation has ended', () => {
    const desired = pool(1, 0, 0);
    converge(pool(0, 0, 0));
    host.handle({ type: 'CreateInstance', tenant_id: 'acme', pool_id: 'workers' });
    host.begin({ type: 'StartInstance', ...idsOf(theOne('ready')) });
    expect(moves(planNow(desired)).filter((move) => !move.startsWith('ensure'))).toEqual([]);
    expect(planNow(desired).problems).toMatchObject([{ kind: 'waiting', reason: 'instance.busy' }]);
  });
});

function idsOf({ tenant_id, pool_id, instance_id }: InstanceView) {
  return { tenant_id, pool_id, instance_id };
}
