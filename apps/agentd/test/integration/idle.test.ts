import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Why } from '@mvm/agentd-api';
import type { InstanceView } from '@mvm/protocol';
import { until } from '@mvm/testkit';
import { type AgentdPlace, createHost, type Host } from '@mvm/testkit/host';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { statusWhen } from '../harness/agentd.js';
import { type FakeHostd, startFakeHostd } from '../harness/fake-hostd.js';
import { desiredPool, desiredState, desiredTenant } from '../model/desired.js';

let host: Host;
let agentd: AgentdPlace;
let hostd: FakeHostd;

beforeEach(async () => {
  host = await createHost({ hostd: 'none' });
  agentd = host.agentd;
  hostd = await startFakeHostd(host.socketPath);
});
afterEach(async () => {
  await host.dispose();
  await hostd.close();
});

function acme(sleep_policy: object | null) {
  return desiredState([desiredTenant('acme', 3, [desiredPool('workers', { running: 1, sleep_policy })])]);
}

const only = (): InstanceView => [...hostd.model.instances.values()][0] as InstanceView;
const params = () => ({ tenant: 'acme', pool: 'workers', instance: only().instance_id });
const whyOf = async (): Promise<Why> => agentd.client.whyInstance({ params: params() });
const isIn = (state: string) => until(state, async () => only()?.status === state);

it('an idle instance falls asleep, stays so as desired, and "why" says by what; an operator wins', async () => {
  const daemon = await agentd.start(['--boot-grace', '0s']);
  await agentd.client.putDesired({ body: acme({ warm_threshold_secs: null, sleep_threshold_secs: 2 }) });
  await isIn('sleeping');
  const status = await statusWhen(agentd.client, ({ converged }) => converged);
  expect(status.pools).toMatchObject([{ wanted: { running: 0, sleeping: 1 }, actual: { sleeping: 1 } }]);
  const asleep = await whyOf();
  expect(asleep.decisions).toMatchObject([
    {
      source: 'planner',
      action: 'sleep',
      request: 'SleepInstance',
      rule: {
        name: 'sleep_policy.idle',
        thresholds: { sleep_threshold_secs: 2, cpu_threshold: 5, net_bytes_threshold: 1024 },
      },
      error: null,
    },
    { source: 'planner', action: 'start' },
  ]);
  expect(asleep.decisions[0]?.rule?.values.idle_seconds).toBeGreaterThanOrEqual(2);

  await agentd.client.wakeInstance({ params: params(), query: { hold_seconds: 600 } });
  await until('idle for long', async () =>
    (await whyOf()).next[0]?.conditions.some(({ name, met }) => name === 'idle_seconds' && met),
  );
  const held = await whyOf();
  expect(held).toMatchObject({ status: 'running', hold: { kind: 'manual_run' } });
  expect(held.next[0]?.conditions.filter(({ met }) => !met).map(({ name }) => name)).toEqual(['hold']);
  expect(held.decisions[0]).toMatchObject({ source: 'operator', action: 'wake', request: 'WakeInstance' });
  expect(only().status).toBe('running');

  // What was decided is known after a restart; how long the instance has been idle is not.
  await daemon.stop();
  await agentd.start(['--boot-grace', '0s']);
  await until('the first look', async () => (await whyOf()).next.length > 0);
  expect((await whyOf()).decisions.map(({ action }) => action)).toEqual(['wake', 'sleep', 'start']);
});

it('a busy instance runs on, and "why" says what keeps it up', async () => {
  await agentd.start(['--boot-grace', '0s']);
  const busy = setInterval(() => {
    if (only()?.status === 'running') hostd.model.work(only(), { cpuUsec: 500_000, bytes: 0 });
  }, 200);
  try {
    await agentd.client.putDesired({ body: acme({ warm_threshold_secs: null, sleep_threshold_secs: 1 }) });
    const seen = await until('two looks', async () => {
      const now = await whyOf().catch(() => null);
      const cpu = now?.next[0]?.conditions.find(({ name }) => name === 'cpu_percent');
      return cpu !== undefined && cpu.now !== 'not known yet' ? cpu : null;
    });
    expect(seen).toMatchObject({ must: 'its VMM uses at most 5 % of a CPU', met: false });
    expect(only().status).toBe('running');
  } finally {
    clearInterval(busy);
  }
  await isIn('sleeping');
});

it('without a policy nothing sleeps, and a record of decisions that cannot be read is begun anew', async () => {
  const daemon = await agentd.start(['--boot-grace', '0s']);
  await agentd.client.putDesired({ body: acme(null) });
  await statusWhen(agentd.client, ({ converged }) => converged);
  expect(await whyOf()).toMatchObject({ sleep_policy: null, next: [], decisions: [{ action: 'start' }] });
  expect(hostd.changes.some(({ type }) => type === 'SleepInstance')).toBe(false);
  await daemon.stop();
  await writeFile(join(agentd.stateDir, 'decisions.json'), '{"schema_version":9}');
  await agentd.start();
  expect((await whyOf()).decisions).toEqual([]);
});
