import { planStepSchema } from '@mvm/protocol/schemas';
import { expect, test } from 'vitest';
import { DIGEST, instanceRecord, NOW, poolRecord, tenantRecord } from '../../test/records.js';
import type { Step } from '../execute/step.js';
import { planCreate } from '../plan/plan-create.js';
import { planDestroy } from '../plan/plan-destroy.js';
import { planPool, planPrepare, planRemovePool } from '../plan/plan-pool.js';
import { planStart } from '../plan/plan-start.js';
import { planStop } from '../plan/plan-stop.js';
import { planTeardown } from '../plan/plan-tenant.js';
import { stepView } from './step-view.js';

const tenant = tenantRecord({ later: 'hidden' });
const pool = poolRecord({ later: 'hidden' });
const instance = instanceRecord({ status: 'running', later: 'hidden' });
const end = { tenant, instance, vmUidBase: 1_900_000_000 };

/** The steps of plans that carry records, which may have fields that this release does not know. */
const steps: Step[] = [
  ...planStart(
    {
      tenant,
      instance: instanceRecord({ status: 'created' }),
      resources: pool.instance_resources,
      image: { name: 'demo', digest: DIGEST, hasInitrd: true, kernelArgs: '' },
      secretScopes: ['db.*'],
      usage: { running: 0, vcpus: 0, memMib: 0 },
      vmUidBase: 1_900_000_000,
      accelerator: 'tcg',
      overheadMib: 512,
    },
    { now: NOW },
  ).steps,
  ...planStop(end, { now: NOW }).steps,
  ...planDestroy(end, { wipeVolumes: true }).steps,
  ...planTeardown({ tenant, net: null, runningCount: 0, pools: [], forget: false }).steps,
  ...planPool({
    tenant,
    pool,
    spec: poolRecord(),
    known: undefined,
    pools: [],
    published: new Map(),
    host: { publishPorts: [{ first: 1, last: 65_535 }], listening: new Set() },
    image: pool.image ?? null,
  }).steps,
  ...planPool({
    tenant,
    pool,
    spec: poolRecord({ role: 'gateway' }),
    known: pool,
    pools: [pool],
    published: new Map(),
    host: { publishPorts: [{ first: 1, last: 65_535 }], listening: new Set() },
    image: null,
  }).steps,
  ...planPrepare(instanceRecord({ status: 'created' })).steps,
  ...planRemovePool(pool, 0, { tenant, pools: [pool] }).steps,
  ...planCreate({ tenant, pool, instanceId: 'one', instances: [], dataDiskMibOf: () => 0 }, { now: NOW })
    .steps,
];

test('a step is told in words, with its arguments as the wire writes names', () => {
  const step = steps.find(({ kind }) => kind === 'vm.launch');
  if (step === undefined) throw new Error('a start launches no VM');
  const view = stepView(step);
  expect(view).toMatchObject({
    kind: 'vm.launch',
    object: 'tn3i3',
    what: 'launch a paused VM of image demo as uid 1900000771: 2 vCPUs, 256 MiB, tcg',
    args: { vm_id: 'tn3i3', mem_mib: 256, has_data_disk: true, image: { kernel_args: '' } },
  });
});

test('every step says on what and what, and is an object of the contract', () => {
  for (const step of steps) {
    const view = stepView(step);
    expect(planStepSchema.parse(view)).toEqual(view);
    expect(view.object, step.kind).not.toBe('');
    expect(view.what, step.kind).toMatch(/^[a-z].*[^.]$/);
    expect(JSON.stringify(view.args)).not.toMatch(/[a-z][A-Z][a-z]+"\s*:/);
  }
});

test('what a record has that we do not know stays on this side, and so do paths', () => {
  const text = JSON.stringify(steps.map(stepView));
  expect(JSON.stringify(steps)).toContain('hidden');
  expect(text).not.toContain('hidden');
  expect(text).not.toMatch(/"\/(var|run|tmp|etc|dev)/);
});
