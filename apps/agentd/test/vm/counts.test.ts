import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { InstanceView } from '@mvm/protocol';
import { diffHost, type HostSnapshot, registerDemoImage, snapshotHost } from '@mvm/testkit';
import { type AgentdPlace, createHost, type Host } from '@mvm/testkit/host';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { statusWhen } from '../harness/agentd.js';
import { consoleOf } from '../harness/guest-console.js';
import { desiredPool, desiredState, desiredTenant } from '../model/desired.js';

const VM_TIMEOUT_MS = 240_000;
let host: Host;
let agentd: AgentdPlace;
let before: HostSnapshot;
let marks: string[];

function wanted(running: number, warm: number, sleeping: number) {
  const small = {
    instance_resources: { vcpus: 1, mem_mib: 160, data_disk_mib: 0 },
    snapshot_compression: 'lz4',
  };
  return desiredState([
    desiredTenant('acme', 3, [desiredPool('workers', { running, warm, sleeping, ...small })]),
  ]);
}

/** Apply, wait until it is so, and the instances in the order in which they were created. */
async function reach(running: number, warm: number, sleeping: number): Promise<InstanceView[]> {
  await agentd.client.putDesired({ body: wanted(running, warm, sleeping) });
  const { recent } = await statusWhen(agentd.client, ({ converged }) => converged, VM_TIMEOUT_MS);
  expect(recent.filter(({ error }) => error !== null)).toEqual([]);
  const { instances } = await agentd.client.listInstances();
  return instances.toSorted((a, b) => (a.created_at ?? '').localeCompare(b.created_at ?? ''));
}

const states = (views: readonly InstanceView[]): string[] => views.map(({ status }) => status).sort();
const boots = async (view: InstanceView): Promise<string[]> => [
  ...((await consoleOf(agentd.client, view)).match(/boot_id=[0-9a-f-]{36}/g) ?? []),
];

beforeAll(async () => {
  host = await createHost({ group: 'nogroup' });
  agentd = host.agentd;
  marks = [host.dir, host.cgroupParent];
  before = await snapshotHost({ marks });
  await host.start();
  await registerDemoImage(host.stateDir);
}, VM_TIMEOUT_MS);

afterAll(async () => {
  try {
    await agentd.client.putDesired({ body: { ...desiredState([]), prune_unknown_tenants: true } });
    await statusWhen(agentd.client, ({ converged }) => converged, 60_000);
    await host.stop();
    const left = diffHost(before, await snapshotHost({ marks }));
    expect(left.filter(({ change }) => change === 'added')).toEqual([]);
  } finally {
    await host.dispose();
  }
}, VM_TIMEOUT_MS);

it(
  'one runs, one is warm, one sleeps; what sleeps serves when more are to run, and is made up for',
  async () => {
    await agentd.start(['--retry-delay', '2s']);
    const reserve = await reach(1, 1, 1);
    expect(states(reserve)).toEqual(['running', 'sleeping', 'warm']);
    const asleep = reserve.find(({ status }) => status === 'sleeping') as InstanceView;
    expect(asleep.pid).toBeNull();
    const instanceDir = join(host.dir, 's/tenants/acme/pools/workers/instances', asleep.instance_id);
    expect(await readdir(join(instanceDir, 'snapshots'))).toEqual(['delta']);
    // It was put to sleep when it had booted, not before.
    const [boot] = await boots(asleep);
    expect(boot).toBeDefined();

    const again = await agentd.client.reconcile();
    expect(again).toMatchObject({ converged: true, last_pass: { actions: 0 } });

    const more = await reach(2, 1, 1);
    expect(states(more)).toEqual(['running', 'running', 'sleeping', 'warm']);
    expect(more.find(({ instance_id }) => instance_id === asleep.instance_id)?.status).toBe('running');
    // Woken, not booted again.
    expect(await boots(asleep)).toEqual([boot]);
    const unmoved = reserve.filter(({ status }) => status !== 'sleeping');
    for (const { instance_id, status, pid } of unmoved) {
      expect(more.find((view) => view.instance_id === instance_id)).toMatchObject({ status, pid });
    }

    const none = await reach(0, 0, 0);
    expect(states(none)).toEqual(['stopped', 'stopped', 'stopped', 'stopped']);
    expect(await readdir(join(instanceDir, 'snapshots')).catch(() => [])).toEqual([]);
  },
  2 * VM_TIMEOUT_MS,
);
