import { pino } from 'pino';
import { expect, test, vi } from 'vitest';
import { instanceRecord, tenantRecord } from '../../test/records.js';
import type { InstanceRecord } from '../state/records.js';
import { recoverHost } from './recover-host.js';

test('what a sweep has left is not removed from an instance that has come to have that id', async () => {
  const context = { opId: 'op', peer: null, logger: pino({ level: 'silent' }), auditDetails: new Map() };
  const instances: InstanceRecord[] = [];
  const killed: string[] = [];
  let isBusy = true;
  const ports = {
    store: {
      damaged: [],
      tenants: () => [tenantRecord()],
      poolsOf: () => [],
      instancesOfTenant: () => instances,
    },
    network: { reconcile: async () => {} },
    vms: { get: () => undefined },
    layout: { vmSocketsDir: '/nonexistent' },
    cgroups: { list: async () => ['tn1i2', 'tn1i3'], remove: async () => {} },
    processes: { find: async () => [], kill: async () => {} },
  };
  const kill = async (vmId: string): Promise<void> => {
    if (isBusy) throw new Error('busy');
    killed.push(vmId);
    instances.push(instanceRecord({ status: 'running', net: { tap_dev: 'tn1i3' } as never }));
  };
  const over = new AbortController();
  const all = { ...ports, cgroups: { ...ports.cgroups, kill } } as never;
  const report = await recoverHost(all, {} as never, 0, context, over.signal);
  expect(report).toMatchObject({ swept: 0, failed: 0 });
  isBusy = false;
  await vi.waitFor(() => expect(killed).not.toEqual([]), 8_000);
  await new Promise((resolve) => setTimeout(resolve, 50));
  over.abort();
  expect(killed).toEqual(['tn1i2']);
});

test('finding 10: VMMs that stay silent keep hostd from serving for two seconds, however many they are', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    const silent = Array.from({ length: 20 }, (_, number) =>
      instanceRecord({ instance_id: `silent-${number}` }),
    );
    const own = instanceRecord({ tenant_id: 'own' });
    const ports = {
      store: {
        damaged: [],
        tenants: () => [tenantRecord(), tenantRecord({ tenant_id: 'own' })],
        poolsOf: () => [],
        instancesOfTenant: (tenant: string) => (tenant === 'own' ? [own] : silent),
      },
      network: { reconcile: async () => {} },
      vms: { get: () => undefined },
      layout: { vmSocketsDir: '/nonexistent' },
      cgroups: { list: async () => [], remove: async () => {} },
      processes: { find: async () => [], kill: async () => {} },
    };
    const runner = {
      recover: ({ tenant_id }: InstanceRecord) => (tenant_id === 'own' ? false : new Promise(() => {})),
      adopt: async () => 'none',
    };
    const context = { opId: 'op', peer: null, logger: pino({ level: 'silent' }), auditDetails: new Map() };
    const over = new AbortController();
    const report = recoverHost(ports as never, runner as never, 0, context, over.signal);
    await vi.advanceTimersByTimeAsync(1_000);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(await report).toMatchObject({ pending: 20, failed: 0 });
    over.abort();
  } finally {
    vi.useRealTimers();
  }
});
