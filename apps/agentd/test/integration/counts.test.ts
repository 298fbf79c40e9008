import { until } from '@mvm/testkit';
import { type AgentdPlace, createHost, type Host } from '@mvm/testkit/host';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { statusWhen } from '../harness/agentd.js';
import { type FakeHostd, startFakeHostd } from '../harness/fake-hostd.js';
import { desiredPool, desiredState, desiredTenant } from '../model/desired.js';

let host: Host;
let agentd: AgentdPlace;
let hostd: FakeHostd;

function acme(running: number, warm: number, sleeping: number) {
  return desiredState([desiredTenant('acme', 3, [desiredPool('workers', { running, warm, sleeping })])]);
}

const count = (state: 'running' | 'warm' | 'sleeping' | 'stopped'): number =>
  hostd.model.countIn('acme', 'workers', state);

/** What was done to instances since the last call, in order. */
function changes(): string[] {
  return hostd.changes.splice(0).flatMap(({ type }) => (type.endsWith('Instance') ? [type] : []));
}

async function reach(running: number, warm: number, sleeping: number): Promise<void> {
  await agentd.client.putDesired({ body: acme(running, warm, sleeping) });
  await statusWhen(agentd.client, ({ converged }) => converged);
  expect([count('running'), count('warm'), count('sleeping')]).toEqual([running, warm, sleeping]);
}

beforeEach(async () => {
  host = await createHost({ hostd: 'none' });
  agentd = host.agentd;
  hostd = await startFakeHostd(host.socketPath);
});
afterEach(async () => {
  await host.dispose();
  await hostd.close();
});

describe('wanted warm and sleeping counts', () => {
  it('are reached, shown and kept', async () => {
    hostd.model.agentAfterMs = 200;
    await agentd.start();
    await agentd.client.putDesired({ body: acme(2, 1, 2) });
    const booting = await statusWhen(agentd.client, ({ problems }) => problems.length > 0);
    expect(booting.problems).toMatchObject([
      { kind: 'waiting', reason: 'instance.booting' },
      { reason: 'instance.booting' },
      { reason: 'instance.booting' },
    ]);
    const status = await statusWhen(agentd.client, ({ converged }) => converged);
    expect(status.pools).toMatchObject([
      { wanted: { running: 2, warm: 1, sleeping: 2 }, actual: { running: 2, warm: 1, sleeping: 2 } },
    ]);
    expect(status.recent.filter(({ kind }) => kind === 'sleep').map(({ reason }) => reason)).toEqual([
      'acme/workers wants 2 running and 2 sleeping: put this one to sleep',
      'acme/workers wants 2 running and 2 sleeping: put this one to sleep',
    ]);
    changes();
    await agentd.client.reconcile();
    await agentd.client.reconcile();
    expect(changes()).toEqual([]);
  });

  it('serve when more are to run, and are made up for', async () => {
    await agentd.start();
    await reach(1, 1, 1);
    changes();
    await reach(3, 1, 1);
    const done = changes();
    expect(done.slice(0, 2).sort()).toEqual(['ResumeInstance', 'WakeInstance']);
    expect(done.filter((type) => type === 'CreateInstance')).toHaveLength(2);
    expect(hostd.model.instances.size).toBe(5);
    await reach(0, 0, 0);
    expect(count('stopped')).toBe(5);
  });

  it('outlive a kill -9 of agentd in the middle of a sleep', async () => {
    hostd.gate = async ({ type }) => {
      if (type === 'SleepInstance') await new Promise(() => {});
    };
    const first = await agentd.start();
    await agentd.client.putDesired({ body: acme(1, 0, 1) });
    await until('a sleep under way', () => hostd.changes.some(({ type }) => type === 'SleepInstance'));
    await first.kill();
    hostd.gate = async () => {};
    await agentd.start();
    await statusWhen(agentd.client, ({ converged }) => converged);
    expect([count('running'), count('sleeping'), hostd.model.instances.size]).toEqual([1, 1, 2]);
  });
});

describe('what goes wrong', () => {
  it('a sleep that fails is tried less and less often; the instance runs on', async () => {
    let attempts = 0;
    hostd.model.beforeChange = ({ type }) => {
      if (type !== 'SleepInstance') return;
      attempts += 1;
      if (attempts < 4) throw new Error('no space left for the snapshot');
    };
    await agentd.start(['--retry-delay', '100ms']);
    await agentd.client.putDesired({ body: acme(1, 0, 1) });
    const status = await statusWhen(agentd.client, ({ problems }) =>
      problems.some(({ kind }) => kind === 'backoff'),
    );
    expect(status.problems).toMatchObject([
      { kind: 'backoff', message: expect.stringContaining('no space left') },
    ]);
    expect(count('running')).toBe(2);
    await statusWhen(agentd.client, ({ converged }) => converged);
    expect(attempts).toBe(4);
    expect(hostd.model.instances.size).toBe(2);
  });

  it('a snapshot that cannot be used is replaced, kept and reported', async () => {
    await agentd.start();
    await reach(1, 0, 1);
    const asleep = [...hostd.model.instances.values()].find(({ status }) => status === 'sleeping');
    if (asleep === undefined) throw new Error('nothing sleeps');
    hostd.model.damage(asleep);
    await agentd.client.putDesired({ body: acme(2, 0, 1) });
    const status = await statusWhen(
      agentd.client,
      ({ converged, problems }) => converged && problems.length > 0,
    );
    expect(status.problems).toMatchObject([
      { kind: 'failed', reason: 'instance.wake_failed', instance_id: asleep.instance_id },
    ]);
    expect([count('running'), count('sleeping')]).toEqual([2, 1]);
    expect(asleep.status).toBe('sleeping');
  });

  it('the hold of one that was put to sleep manually ends: it is woken, and no other is started', async () => {
    await agentd.start();
    await reach(2, 0, 0);
    const [view] = (await agentd.client.listInstances()).instances;
    const params = { tenant: 'acme', pool: 'workers', instance: view?.instance_id ?? '' };
    changes();
    await agentd.client.sleepInstance({ params, query: { hold_seconds: 1 }, body: {} });
    await until('woken again', () => count('running') === 2);
    expect(changes()).toEqual(['SleepInstance', 'WakeInstance']);
  });
});
