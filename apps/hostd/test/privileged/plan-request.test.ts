import { createHash } from 'node:crypto';
import { readdir, readFile, readlink, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { HostdClient } from '@mvm/hostd-client';
import {
  isCodedError,
  METHODS,
  type NetworkPolicy,
  type PlannableRequest,
  type PlanView,
  type PoolNetworkPolicy,
} from '@mvm/protocol';
import { createHost, type Host } from '@mvm/testkit/host';
import { execa } from 'execa';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Step } from '../../src/execute/step.js';
import { DEFAULT_QUOTAS } from '../../src/plan/plan-tenant.js';
import { stepView } from '../../src/requests/step-view.js';
import { type InProcessHostd, startInProcess } from '../fake-vmm/in-process.js';
import { netOf, poolSpec } from '../tenants.js';

// Everything is real but the VMM: a plan is asked for, nothing has changed, then the request is sent, and what hostd says
// that it executes is what the plan said.

const RUNS = Number(process.env.MVM_PLAN_RUNS ?? 3);
const SEED = Number(process.env.MVM_PLAN_SEED ?? 20_261_125);
const REQUESTS_PER_RUN = 40;

let host: Host;
let hostd: InProcessHostd;
let client: HostdClient;

beforeAll(async () => {
  host = await createHost();
  hostd = await startInProcess(host);
  client = host.client();
  await hostd.registerImage('demo');
  await hostd.registerImage('other');
}, 60_000);
afterAll(async () => {
  await forgetAll();
  await client.close();
  await hostd.close();
  await host.dispose();
});

async function forgetAll(): Promise<void> {
  const { instances } = await client.request({ type: 'ListInstances' });
  for (const { tenant_id, pool_id, instance_id } of instances) {
    await client.request({ type: 'DestroyInstance', tenant_id, pool_id, instance_id, wipe_volumes: false });
  }
  for (const { tenant_id, pools } of (await client.request({ type: 'ListTenants' })).tenants) {
    for (const { pool_id } of pools) await client.request({ type: 'RemovePool', tenant_id, pool_id });
    await client.request({ type: 'RemoveTenant', tenant_id });
  }
}

/** What a guest that runs writes by itself. */
const GUESTS_OWN = /\/(runtime\/(console|vmm)\.log|volumes\/data\.ext4)$/;

/** Every file below a directory: its content, or what it points to, and when it was last changed. */
async function digestTree(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const lines = entries.map(async (entry) => {
    const path = join(entry.parentPath, entry.name);
    if (entry.isSymbolicLink()) return `${path} -> ${await readlink(path)}`;
    if (GUESTS_OWN.test(path)) return path;
    const { size, mtimeMs, mode } = await stat(path);
    const bytes = entry.isFile() && size < 1_048_576 ? await readFile(path) : '';
    return `${path} ${mode} ${size} ${mtimeMs} ${createHash('sha256').update(bytes).digest('hex')}`;
  });
  return (await Promise.all(lines)).sort();
}

/** Our cgroups, of one hierarchy or of several; no others are looked at. */
async function ownCgroups(): Promise<string[]> {
  const root = '/sys/fs/cgroup';
  const parents = ['', ...(await readdir(root))].map((hierarchy) => join(root, hierarchy, host.cgroupParent));
  const found = parents.map(async (parent) => {
    const entries = await readdir(parent, { recursive: true, withFileTypes: true }).catch(() => []);
    return entries
      .filter((entry) => entry.isDirectory())
      .map(({ parentPath, name }) => join(parentPath, name));
  });
  return (await Promise.all(found)).flat().sort();
}

/** Links without what follows some time after a port comes or goes, and what follows from that. */
function withoutCarrier(json: string): unknown {
  const links = JSON.parse(json) as { flags: string[]; operstate: string; qdisc: string }[];
  return links.map(({ operstate: _, qdisc: __, flags, ...link }) => ({
    ...link,
    flags: flags.filter((flag) => flag !== 'LOWER_UP' && flag !== 'NO-CARRIER'),
  }));
}

/** Everything that a request could change: files (records, journals, audit logs), links, rules, cgroups, processes. */
async function frozen(): Promise<Record<string, unknown>> {
  const text = async (command: string, ...args: string[]): Promise<string> =>
    (await execa(command, args)).stdout;
  const vmms = await text('ps', '-eo', 'pid,args').then((all) =>
    all.split('\n').filter((line) => line.includes(host.dir) && !line.includes('ps -eo')),
  );
  return {
    files: await digestTree(host.stateDir),
    run: (await readdir(host.runDir, { recursive: true })).sort(),
    links: withoutCarrier(await text('ip', '-j', 'addr')),
    // Counters and the guests' neighbours move by themselves.
    rules: (await text('nft', 'list', 'ruleset')).replace(/packets \d+ bytes \d+/g, ''),
    cgroups: await ownCgroups(),
    vmms,
  };
}

/** Steps with what differs between two moments taken out: times, and an id that hostd chooses. */
function timeless(steps: readonly unknown[], request: PlannableRequest): unknown {
  const chosen = request.type === 'CreateInstance' && request.instance_id == null;
  return JSON.parse(JSON.stringify(steps), (_key, value: unknown) => {
    if (typeof value !== 'string') return value;
    const text = value.replace(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/, '(time)');
    return chosen ? text.replace(/i-[0-9a-f]{8}/, '(id)') : text;
  });
}

/** The steps that hostd has begun since the log was `from` lines long. */
function executedSince(from: number): unknown[] {
  return hostd.log
    .slice(from)
    .filter((line) => line.msg === 'step begins')
    .map((line) => stepView(line.args as Step));
}

type Outcome = { readonly plan: PlanView } | { readonly refusal: object };

function refusalOf(error: unknown): { refusal: object } {
  if (!isCodedError(error)) throw error;
  const { code, reason, message, hint, details } = error;
  return { refusal: { code, reason, message, hint, details } };
}

/** How often each type of request was carried out, and how often it was refused. */
const seen = new Map<string, { done: number; refused: number }>();

/** Ask, see that nothing has changed, do it, and compare. */
async function askThenDo(request: PlannableRequest): Promise<void> {
  const before = await frozen();
  const quiet = hostd.log.length;
  const asked: Outcome = await client.request({ type: 'PlanRequest', request }).then(
    ({ type: _, ...plan }) => ({ plan }),
    (error: unknown) => refusalOf(error),
  );
  expect(await frozen(), `PlanRequest of ${request.type}`).toEqual(before);
  expect(executedSince(quiet)).toEqual([]);
  const from = hostd.log.length;
  const done: { refusal: object } | null = await client.request(request).then(
    () => null,
    (error: unknown) => refusalOf(error),
  );
  const counts = seen.get(request.type) ?? { done: 0, refused: 0 };
  seen.set(request.type, counts);
  if ('refusal' in asked) {
    counts.refused += 1;
    expect(done).toEqual(asked);
    expect(executedSince(from)).toEqual([]);
    return;
  }
  counts.done += 1;
  expect(done, JSON.stringify(request)).toBeNull();
  expect(asked.plan.operation).toBe(METHODS[request.type].operation);
  expect(timeless(executedSince(from), request)).toEqual(timeless(asked.plan.steps, request));
}

/** The first, far more often than the others: what is asked for must mostly be there, to be worth asking for. */
function mostly<T>(first: T, ...others: readonly T[]): fc.Arbitrary<T> {
  return fc.oneof(
    { weight: 5, arbitrary: fc.constant(first) },
    { weight: 1, arbitrary: fc.constantFrom(...others) },
  );
}

const tenant = mostly('acme', 'globex', 'nobody', 'Not-An-Id');
const instance = fc.record({
  tenant_id: mostly('acme', 'globex', 'nobody'),
  pool_id: mostly('workers', 'spare'),
  instance_id: mostly('one', 'two', 'three'),
});
const pool = instance.map(({ tenant_id, pool_id }) => ({ tenant_id, pool_id }));
const net = mostly(3, 4).map(netOf);
const policy: fc.Arbitrary<NetworkPolicy | undefined> = mostly<NetworkPolicy | undefined>(
  undefined,
  { egress: 'none' as const },
  { isolate_instances: true, limits: { connections: 10 } },
  { allow: [{ cidr: '10.0.0.1/8' }] },
);
const poolPolicy: fc.Arbitrary<PoolNetworkPolicy | undefined> = fc.constantFrom(
  undefined,
  undefined,
  { egress: 'open' as const },
  { publish: [{ protocol: 'tcp' as const, host_port: 8443, guest_port: 443 }] },
);
const spec = fc
  .record({
    network_policy: poolPolicy,
    flake_ref: mostly('demo', 'other', 'not-there', 'demo@sha256:00'),
    role: fc.constantFrom('worker' as const, 'gateway' as const),
    snapshot_compression: fc.constantFrom('none' as const, 'lz4' as const),
  })
  .map((over) => poolSpec({ ...over, instance_resources: { vcpus: 1, mem_mib: 64, data_disk_mib: 1 } }));
const quotas = fc
  .constantFrom({}, {}, { max_pools: 1 }, { max_running: 1 }, { max_instances_per_pool: 1 })
  .map((over) => ({ ...DEFAULT_QUOTAS, ...over }));

const ofInstance = <
  T extends
    | 'StartInstance'
    | 'StopInstance'
    | 'WakeInstance'
    | 'WarmInstance'
    | 'ResumeInstance'
    | 'RebootInstance',
>(
  type: T,
) => instance.map((address) => ({ type, ...address }));

/** Any request; those on instances come more often than those that take away what instances need. */
const anyRequest: fc.Arbitrary<PlannableRequest> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc
      .record({ tenant_id: tenant, net, quotas, policy })
      .map((rest) => ({ type: 'EnsureTenant' as const, ...rest })),
  },
  {
    weight: 1,
    arbitrary: fc
      .record({ tenant_id: tenant, net })
      .map((rest) => ({ type: 'SetupNetwork' as const, ...rest })),
  },
  {
    weight: 1,
    arbitrary: fc
      .record({ tenant_id: tenant, net })
      .map((rest) => ({ type: 'TeardownNetwork' as const, ...rest })),
  },
  { weight: 1, arbitrary: tenant.map((tenant_id) => ({ type: 'RemoveTenant' as const, tenant_id })) },
  {
    weight: 3,
    arbitrary: fc
      .tuple(pool, spec)
      .map(([address, spec]) => ({ type: 'EnsurePool' as const, ...address, spec })),
  },
  { weight: 1, arbitrary: pool.map((address) => ({ type: 'RemovePool' as const, ...address })) },
  { weight: 4, arbitrary: instance.map((address) => ({ type: 'CreateInstance' as const, ...address })) },
  {
    weight: 1,
    arbitrary: pool.map((address) => ({ type: 'CreateInstance' as const, ...address, instance_id: null })),
  },
  { weight: 6, arbitrary: ofInstance('StartInstance') },
  { weight: 2, arbitrary: ofInstance('StopInstance') },
  { weight: 3, arbitrary: ofInstance('WakeInstance') },
  { weight: 3, arbitrary: ofInstance('WarmInstance') },
  { weight: 3, arbitrary: ofInstance('ResumeInstance') },
  { weight: 2, arbitrary: ofInstance('RebootInstance') },
  {
    weight: 4,
    arbitrary: fc.tuple(instance, fc.boolean(), fc.constantFrom(null, 5)).map(([address, force, secs]) => ({
      type: 'SleepInstance' as const,
      ...address,
      force,
      drain_timeout_secs: secs,
    })),
  },
  {
    weight: 1,
    arbitrary: fc
      .tuple(instance, fc.boolean())
      .map(([address, wipe_volumes]) => ({ type: 'DestroyInstance' as const, ...address, wipe_volumes })),
  },
  { weight: 1, arbitrary: fc.constant({ type: 'ListTenants' as const }) },
);

/** One of each, in an order in which all of them are carried out: whatever is drawn afterwards, nothing goes untried. */
function oneOfEach(): PlannableRequest[] {
  const acme = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'one' };
  const small = { instance_resources: { vcpus: 1, mem_mib: 64, data_disk_mib: 1 } };
  const sleeping = { type: 'SleepInstance' as const, ...acme, drain_timeout_secs: null };
  return [
    { type: 'Ping' },
    { type: 'SetupNetwork', tenant_id: 'acme', net: netOf(3) },
    { type: 'EnsureTenant', tenant_id: 'acme', net: netOf(3), quotas: { ...DEFAULT_QUOTAS, max_pools: 2 } },
    { type: 'EnsurePool', ...acme, spec: poolSpec({ ...small, flake_ref: 'not-there' }) },
    { type: 'CreateInstance', ...acme },
    { type: 'CreateInstance', ...acme, instance_id: 'two' },
    { type: 'StartInstance', ...acme },
    { type: 'EnsurePool', ...acme, spec: poolSpec(small) },
    { type: 'StartInstance', ...acme },
    {
      type: 'EnsureTenant',
      tenant_id: 'acme',
      net: netOf(3),
      quotas: DEFAULT_QUOTAS,
      policy: { egress: 'none' },
    },
    { type: 'WarmInstance', ...acme },
    { type: 'ResumeInstance', ...acme },
    { type: 'RebootInstance', ...acme },
    { ...sleeping, force: false },
    { type: 'WakeInstance', ...acme },
    { type: 'WarmInstance', ...acme },
    { ...sleeping, force: true },
    { type: 'StopInstance', ...acme },
    { type: 'DestroyInstance', ...acme, wipe_volumes: true },
    { type: 'DestroyInstance', ...acme, instance_id: 'two', wipe_volumes: false },
    { type: 'TeardownNetwork', tenant_id: 'acme', net: netOf(3) },
    { type: 'RemovePool', tenant_id: 'acme', pool_id: 'workers' },
    { type: 'RemoveTenant', tenant_id: 'acme' },
  ];
}

test('each kind of request takes the steps that its plan says, and a plan changes nothing', async () => {
  for (const request of oneOfEach()) await askThenDo(request);
  for (const [type, method] of Object.entries(METHODS)) {
    if (method.mutates) expect(seen.get(type)?.done, type).toBeGreaterThan(0);
  }
}, 240_000);

test('so it is in any state that requests lead to, and what would be refused is refused the same way', async () => {
  const sequence = fc.array(anyRequest, { minLength: REQUESTS_PER_RUN, maxLength: REQUESTS_PER_RUN });
  const start = oneOfEach().slice(1, 4);
  seen.clear();
  for (const requests of fc.sample(sequence, { numRuns: RUNS, seed: SEED })) {
    await forgetAll();
    for (const request of start) await askThenDo(request);
    await askThenDo({ type: 'EnsurePool', tenant_id: 'acme', pool_id: 'workers', spec: poolSpec() });
    for (const request of requests) await askThenDo(request);
  }
  const total = [...seen.values()];
  expect(total.reduce((sum, { done }) => sum + done, 0)).toBeGreaterThan(RUNS * 10);
  expect(total.reduce((sum, { refused }) => sum + refused, 0)).toBeGreaterThan(RUNS * 10);
}, 600_000);

test('a request that waits for another says so, and one that overtakes a sleep too', async () => {
  await forgetAll();
  await hostd.close();
  hostd = await startInProcess(host, { drainMs: 60_000 });
  const acme = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'one' };
  for (const request of oneOfEach().slice(1, 3)) await client.request(request);
  await client.request({ type: 'EnsurePool', ...acme, spec: poolSpec() });
  await client.request({ type: 'CreateInstance', ...acme });
  await client.request({ type: 'StartInstance', ...acme });
  const sleep = client
    .request({ type: 'SleepInstance', ...acme, force: false, drain_timeout_secs: 60 })
    .then(() => null, refusalOf);
  const plan = (request: PlannableRequest): Promise<PlanView> =>
    client.request({ type: 'PlanRequest', request });
  await expect
    .poll(async () => (await plan({ type: 'WarmInstance', ...acme })).notes, { timeout: 30_000 })
    .toEqual([
      'a sleep of this instance is under way: the request would wait for it, and then be planned again',
    ]);
  expect(await plan({ type: 'WakeInstance', ...acme })).toMatchObject({
    steps: [],
    notes: ['a sleep that waits for its guest is given up'],
  });
  expect((await plan({ type: 'StopInstance', ...acme })).notes).toEqual([
    'a sleep that waits for its guest is given up',
  ]);
  expect((await client.request({ type: 'DescribeInstance', ...acme })).operation).toBe('sleep');
  await client.request({ type: 'WakeInstance', ...acme });
  expect(await sleep).toMatchObject({ refusal: { reason: 'instance.sleep_overtaken' } });
}, 120_000);

test('asking about a start that is under way does not let another one exceed the quota', async () => {
  await forgetAll();
  await hostd.close();
  hostd = await startInProcess(host, { faultOf: (call) => (call === 'launch' ? 2000 : null) });
  const one = { tenant_id: 'acme', pool_id: 'workers', instance_id: 'one' };
  const quotas = { ...DEFAULT_QUOTAS, max_running: 1 };
  await client.request({ type: 'EnsureTenant', tenant_id: 'acme', net: netOf(3), quotas });
  await client.request({ type: 'EnsurePool', ...one, spec: poolSpec() });
  for (const instance_id of ['one', 'two'])
    await client.request({ type: 'CreateInstance', ...one, instance_id });
  const start = client.request({ type: 'StartInstance', ...one });
  await expect
    .poll(() => hostd.log.some(({ step, msg }) => step === 'vm.launch' && msg === 'step begins'))
    .toBe(true);
  const { notes } = await client.request({ type: 'PlanRequest', request: { type: 'StartInstance', ...one } });
  expect(notes).toMatchObject([expect.stringMatching(/^a start of this instance is under way/)]);
  await expect(client.request({ type: 'StartInstance', ...one, instance_id: 'two' })).rejects.toMatchObject({
    reason: 'quota.exceeded',
  });
  await start;
}, 60_000);
