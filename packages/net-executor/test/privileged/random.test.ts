import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createNetworkExecutor, type NetworkExecutor } from '../../src/execute/index.js';
import {
  applySteps,
  type DesiredTenantNetwork,
  expandDesired,
  type NetStep,
  type ObservedNetwork,
  type TenantPolicies,
} from '../../src/index.js';
import { observeNetwork } from '../../src/observe/index.js';
import { profileSignature } from '../../src/profile.js';
import { CLUSTER_CIDR, instancePort, tenantNet } from '../support/desired.js';
import { enterTestHost, hostState, nft, sh } from '../support/host.js';

interface Action {
  readonly kind: 'ensure' | 'remove' | 'attach' | 'detach' | 'restart' | 'flush' | 'orphan';
  readonly netId: number;
  readonly offset: number;
  readonly policies: TenantPolicies | undefined;
}

type Desired = Map<number, DesiredTenantNetwork>;

const kinds = [
  'ensure',
  'remove',
  'attach',
  'attach',
  'attach',
  'detach',
  'detach',
  'restart',
  'flush',
  'orphan',
] as const;
const arbAction: fc.Arbitrary<Action> = fc.record({
  kind: fc.constantFrom(...kinds),
  netId: fc.constantFrom(1, 2, 300),
  offset: fc.constantFrom(3, 4),
  policies: fc.constantFrom<TenantPolicies | undefined>(
    undefined,
    {},
    { tenant: { egress: 'none' } },
    { tenant: { deny: [{ cidr: '203.0.113.0/24' }], isolate_instances: true } },
    { pools: { web: { limits: { bandwidth_kbit: 1000, connections: 5 } } } },
    { tenant: { limits: { packets_per_second: 9 } }, pools: { web: { egress: 'open', limits: {} } } },
  ),
});

const context = { clusterCidr: CLUSTER_CIDR, uplinks: ['up0'], base: 'present' } as const;

/** Links, rules and elements, without order and without what the kernel chooses. */
function essence(observed: ObservedNetwork): object {
  return {
    tables: observed.tables,
    links: observed.links
      .map((link) => JSON.stringify({ ...link, mac: link.kind === 'tap' ? '' : link.mac }))
      .toSorted(),
    elements: observed.elements
      .map(({ set, key, value }) => `${set} ${key.join(' . ')} ${value ?? ''}`)
      .toSorted(),
    profiles: observed.profiles.map((profile) => `${profile.id} ${profileSignature(profile)}`).toSorted(),
    rules: observed.rules.map(({ kind, cidr }) => `${kind} ${cidr}`).toSorted(),
    sysctls: Object.entries(observed.sysctls)
      .map(([key, value]) => `${key}=${value}`)
      .toSorted(),
  };
}

/** Makes a request, and puts down in `desired` what must be there afterwards. */
async function request(
  executor: NetworkExecutor,
  desired: Desired,
  action: Action,
): Promise<readonly NetStep[]> {
  const net = tenantNet(action.netId);
  const port = instancePort(net, action.offset, action.offset === 3 ? 'web' : undefined);
  const known = desired.get(action.netId);
  const others = (known?.ports ?? []).filter(({ tapName }) => tapName !== port.tapName);
  switch (action.kind) {
    case 'ensure':
      desired.set(action.netId, {
        net,
        ports: known?.ports ?? [],
        policies: action.policies ?? known?.policies,
      });
      return (await executor.ensureTenant(net, action.policies)).steps;
    case 'remove':
      if (known !== undefined && known.ports.length > 0) return [];
      desired.delete(action.netId);
      return (await executor.removeTenant(net)).steps;
    case 'attach':
      desired.set(action.netId, { ...known, net, ports: [...others, port] });
      return (await executor.attachPort(net, port)).steps;
    case 'detach':
      if (known !== undefined) desired.set(action.netId, { ...known, net, ports: others });
      return (await executor.detachPort(net, port)).steps;
    default:
      return [];
  }
}

function spoil(kind: Action['kind']): void {
  if (kind === 'flush') nft('flush ruleset\n');
  if (kind !== 'orphan') return;
  sh('ip', 'tuntap', 'add', 'dev', 'tn4000i9', 'mode', 'tap');
  sh('ip', 'link', 'add', 'br-tenant-4000', 'type', 'bridge');
}

function makeExecutor(): NetworkExecutor {
  return createNetworkExecutor({ clusterCidr: CLUSTER_CIDR, uplinks: ['up0'] });
}

async function checkAgainstModel(executor: NetworkExecutor, desired: Desired): Promise<ObservedNetwork> {
  const observed = await observeNetwork({ uplinks: ['up0'] });
  const expanded = expandDesired({ tenants: [...desired.values()] }, observed, context);
  expect(await executor.verify()).toEqual([]);
  const names = [...expanded.bridges, ...expanded.taps].map(({ name }) => name);
  expect(observed.links.map(({ name }) => name).toSorted()).toEqual(names.toSorted());
  return observed;
}

beforeAll(() => {
  enterTestHost();
  sh('ip', 'link', 'add', 'up0', 'type', 'bridge');
});

afterAll(() => {
  sh('ip', 'link', 'delete', 'up0');
});

it('tenants and instances come and go, and the kernel always has what the model says', async () => {
  const bare = hostState();
  await fc.assert(
    fc.asyncProperty(fc.array(arbAction, { minLength: 5, maxLength: 12 }), async (actions) => {
      const desired: Desired = new Map();
      let executor = makeExecutor();
      await executor.reconcile({ tenants: [] });
      for (const action of actions) {
        const before = await observeNetwork({ uplinks: ['up0'] });
        const steps = await request(executor, desired, action);
        if (action.kind === 'restart' || action.kind === 'flush' || action.kind === 'orphan') {
          spoil(action.kind);
          if (action.kind !== 'flush') executor = makeExecutor();
          await executor.reconcile({ tenants: [...desired.values()] });
        }
        const after = await checkAgainstModel(executor, desired);
        // What the planner takes a step to do is what the kernel did.
        if (steps.length > 0) expect(essence(applySteps(before, steps))).toEqual(essence(after));
      }
      await executor.removeAll();
      expect(hostState()).toBe(bare);
    }),
    { numRuns: 8 },
  );
});
