import type { NetworkPolicy, PoolNetworkPolicy } from '@mvm/protocol';
import { deriveTenantNet, instanceIp, macAddress, tapName } from '@mvm/protocol/names';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { applyStep, applySteps } from './apply-steps.js';
import { invertSteps } from './invert.js';
import { planNetwork } from './plan.js';
import { type ObservedProfile, profileIdOf, profileSignature } from './profile.js';
import { elementId } from './sets.js';
import type {
  DesiredHostNetwork,
  DesiredTenantNetwork,
  NetworkContext,
  ObservedLink,
  ObservedNetwork,
  TenantPolicies,
} from './types.js';
import { verifyNetwork } from './verify.js';

const CLUSTER = '10.240.0.0/12';
const context: NetworkContext = { clusterCidr: CLUSTER, uplinks: ['eth0'], base: 'present' };
const leaving: NetworkContext = { ...context, base: 'absent' };

const arbTenant = (netId: number): fc.Arbitrary<DesiredTenantNetwork> => {
  const net = deriveTenantNet(netId, `10.240.${netId}.0/24`);
  const ports = fc.uniqueArray(fc.integer({ min: 3, max: 6 }), { maxLength: 3 }).map((offsets) =>
    offsets.map((offset) => ({
      tapName: tapName(netId, offset),
      mac: macAddress(netId, offset),
      ipv4: instanceIp(net, offset),
      ownerUid: 1_900_000_000 + netId * 256 + offset,
      instanceId: `i-${offset}`,
      poolId: ['web', 'db', undefined][offset % 3],
    })),
  );
  return fc.record({ net: fc.constant(net), ports, policies: arbPolicies(netId) });
};

const POLICIES: readonly NetworkPolicy[] = [
  {},
  { egress: 'none' },
  { egress: 'open', isolate_instances: true },
  { deny: [{ cidr: '203.0.113.0/24' }] },
  { allow: [{ cidr: '10.0.0.0/8', protocol: 'tcp', first_port: 443 }] },
  { limits: { connections: 5 } },
  { limits: { bandwidth_kbit: 1000, packets_per_second: 50 } },
];

const arbPolicies = (netId: number): fc.Arbitrary<TenantPolicies | undefined> => {
  const publish = { protocol: 'tcp', host_port: 8000 + netId, guest_port: 80 } as const;
  const policy = fc.constantFrom(...POLICIES);
  const web = fc.constantFrom<PoolNetworkPolicy>(
    {},
    { publish: [publish] },
    { publish: [{ ...publish, instance_id: 'i-4' }], egress: 'none' },
    { limits: { bandwidth_kbit: 0, connections: 6 }, isolate_instances: false },
  );
  const pools = fc.record({ web, db: policy }, { requiredKeys: [] });
  return fc.option(fc.record({ tenant: policy, pools }, { requiredKeys: [] }), { nil: undefined });
};

const arbDesired: fc.Arbitrary<DesiredHostNetwork> = fc
  .subarray([0, 1, 2, 4095].filter((id) => id < 256))
  .chain((ids) => fc.tuple(...ids.map(arbTenant)))
  .map((tenants) => ({ tenants }));

/** A host that has never seen us; `forwarding` is how the uplink was before. */
const bareHost = (forwarding: string, all: string): ObservedNetwork => ({
  links: [],
  tables: 'absent',
  tableFaults: [],
  elements: [],
  profiles: [],
  rules: [],
  sysctls: {
    'net/ipv4/conf/all/forwarding': all,
    'net/ipv6/conf/default/disable_ipv6': '0',
    'net/ipv4/conf/eth0/forwarding': forwarding,
  },
});

const arbBare = fc.constantFrom(bareHost('0', '0'), bareHost('1', '0'), bareHost('1', '1'));

/** A profile in which somebody has added a rule, so that nobody knows what it was made from. */
function spoil(profile: ObservedProfile, how: string): ObservedProfile {
  if (how === 'kept') return profile;
  const chains = Object.entries(profile.chains).map(([name, rules]) => [name, ['', ...rules]]);
  return { ...profile, chains: Object.fromEntries(chains), spec: null };
}

/** Any host: some desired of before, reached up to some step, and then damaged by somebody. */
const arbObserved: fc.Arbitrary<ObservedNetwork> = fc
  .record({
    bare: arbBare,
    before: arbDesired,
    share: fc.double({ min: 0, max: 1, noNaN: true }),
    tables: fc.constantFrom('kept', 'kept', 'absent', 'damaged'),
    lost: fc.array(fc.nat(), { maxLength: 6 }),
    down: fc.array(fc.nat(), { maxLength: 3 }),
    stray: fc.boolean(),
    profiles: fc.constantFrom('kept', 'kept', 'changed'),
  })
  .map(({ bare, before, share, tables, lost, down, stray, profiles }) => {
    const steps = planNetwork(before, bare, context);
    const reached = applySteps(bare, steps.slice(0, Math.round(steps.length * share)));
    const gone = <T>(list: readonly T[]) =>
      list.filter((_, i) => !lost.some((n) => n % (list.length + 1) === i));
    const links: ObservedLink[] = gone(reached.links).map((link, i) => ({
      ...link,
      up: link.up && !down.includes(i),
      mac: down.includes(i + 10) ? '02:00:00:00:00:99' : link.mac,
    }));
    const names = new Set(links.map(({ name }) => name));
    const addresses = stray ? ['192.0.2.1/24'] : [];
    return {
      ...reached,
      links: links.map((link) => ({
        ...link,
        master: link.master !== null && names.has(link.master) ? link.master : null,
        addresses: link.kind === 'bridge' ? [...link.addresses, ...addresses] : [],
      })),
      rules: gone(reached.rules),
      ...(tables === 'absent' ? { tables, elements: [] } : { elements: gone(reached.elements) }),
      profiles: tables === 'absent' ? [] : reached.profiles.map((profile) => spoil(profile, profiles)),
      ...(tables === 'damaged' && reached.tables === 'intact' ? { tables, tableFaults: ['x'] } : {}),
    };
  });

/** A network without the order of its parts. */
function unordered(observed: ObservedNetwork): object {
  const sorted = (texts: string[]) => texts.toSorted();
  return {
    tables: observed.tables,
    links: sorted(
      observed.links.map((link) => {
        const mac = link.kind === 'tap' ? 'any' : link.mac;
        return JSON.stringify({ ...link, mac, addresses: sorted([...link.addresses]) });
      }),
    ),
    elements: sorted(observed.elements.map(elementId)),
    profiles: sorted(observed.profiles.map((profile) => `${profile.id} ${profileSignature(profile)}`)),
    rules: sorted(observed.rules.map(({ kind, cidr }) => `${kind} ${cidr}`)),
    sysctls: sorted(Object.entries(observed.sysctls).map(([key, value]) => `${key}=${value}`)),
  };
}

/** TAPs that could pass frames without being under guard. */
function unguarded(observed: ObservedNetwork): string[] {
  const taps = new Set(observed.elements.filter(({ set }) => set === 'taps').map(({ key }) => key[0]));
  return observed.links
    .filter(({ kind, up, master, name }) => kind === 'tap' && up && master !== null && !taps.has(name))
    .map(({ name }) => name);
}

/** Elements that lead to a chain of a profile that is not there: the kernel would refuse them. */
function dangling(observed: ObservedNetwork): string[] {
  const chains = new Set(observed.profiles.flatMap(({ chains }) => Object.keys(chains)));
  return observed.elements
    .filter(({ value = '' }) => profileIdOf(value) !== null && !chains.has(value))
    .map(elementId);
}

describe('planNetwork', () => {
  it('has nothing left to do after its steps, from any starting point', () => {
    fc.assert(
      fc.property(arbObserved, arbDesired, (observed, desired) => {
        const after = applySteps(observed, planNetwork(desired, observed, context));
        expect(planNetwork(desired, after, context)).toEqual([]);
        expect(verifyNetwork(desired, after, context)).toEqual([]);
      }),
    );
  });

  it('converges to the same network when it is stopped after any step', () => {
    fc.assert(
      fc.property(arbObserved, arbDesired, fc.nat(), (observed, desired, cut) => {
        const steps = planNetwork(desired, observed, context);
        const whole = applySteps(observed, steps);
        const half = applySteps(observed, steps.slice(0, cut % (steps.length + 1)));
        const resumed = applySteps(half, planNetwork(desired, half, context));
        expect(unordered(resumed)).toEqual(unordered(whole));
      }),
    );
  });

  it('reaches the same network by way of any other desired', () => {
    fc.assert(
      fc.property(arbBare, fc.array(arbDesired, { maxLength: 5 }), arbDesired, (bare, detours, desired) => {
        const go = (state: ObservedNetwork, desired: DesiredHostNetwork) =>
          applySteps(state, planNetwork(desired, state, context));
        expect(unordered(go(detours.reduce(go, bare), desired))).toEqual(unordered(go(bare, desired)));
      }),
    );
  });

  it('never leaves a raised port without its guard, at any step', () => {
    fc.assert(
      fc.property(arbBare, arbDesired, arbDesired, (bare, before, desired) => {
        let state = applySteps(bare, planNetwork(before, bare, context));
        expect(unguarded(state)).toEqual([]);
        for (const step of planNetwork(desired, state, context)) {
          state = applyStep(state, step);
          expect(unguarded(state)).toEqual([]);
        }
      }),
    );
  });

  it('never has an element lead to a policy that is not there, at any step, nor when undone', () => {
    fc.assert(
      fc.property(arbBare, arbDesired, arbDesired, (bare, before, desired) => {
        let state = applySteps(bare, planNetwork(before, bare, context));
        const steps = planNetwork(desired, state, context);
        for (const step of [...steps, ...invertSteps(steps)]) {
          state = applyStep(state, step);
          expect(dangling(state)).toEqual([]);
        }
      }),
    );
  });

  it('gives back the host as it was, settings included', () => {
    fc.assert(
      fc.property(arbBare, arbDesired, (bare, desired) => {
        const busy = applySteps(bare, planNetwork(desired, bare, context));
        const after = applySteps(busy, planNetwork({ tenants: [] }, busy, leaving));
        expect(unordered(after)).toEqual(unordered(bare));
      }),
    );
  });

  it('names a drift for every step and none otherwise', () => {
    fc.assert(
      fc.property(arbObserved, arbDesired, (observed, desired) => {
        const steps = planNetwork(desired, observed, context);
        const drifts = verifyNetwork(desired, observed, context);
        const loads = steps.some((step) => step.kind === 'tables.load' && step.was === 'damaged');
        // Damaged tables are one step, and a drift for each fault and each changed profile.
        const named = drifts.filter(({ object, state }) => {
          return state === 'different' && (object === 'table' || object === 'profile');
        });
        expect(named.length > 0).toBe(loads);
        const there = new Map(observed.links.map((link) => [link.name, link]));
        const counts = steps.map((step) => {
          switch (step.kind) {
            case 'tables.load':
              return step.was === 'damaged' ? 0 : 1;
            case 'flows.forget':
              return 0;
            case 'mac.set':
              return step.was === '' ? 0 : 1;
            case 'link.set':
              return there.has(step.name) ? Object.keys(step.settings).length : 0;
            case 'port.set':
              return (there.get(step.name)?.master ?? null) === null ? 0 : Object.keys(step.settings).length;
            case 'forwarding.add':
              return there.has(step.port) ? 1 : 0;
            default:
              return 1;
          }
        });
        expect(drifts.length - named.length).toBe(counts.reduce((a, b) => a + b, 0));
      }),
    );
  });
});

describe('invertSteps', () => {
  it('undoes any number of first steps', () => {
    fc.assert(
      fc.property(arbBare, arbDesired, arbDesired, fc.nat(), (bare, before, desired, cut) => {
        const state = applySteps(bare, planNetwork(before, bare, context));
        const steps = planNetwork(desired, state, context);
        const made = steps.slice(0, cut % (steps.length + 1));
        const undone = applySteps(applySteps(state, made), invertSteps(made));
        // Settings that come with a link come back by the planner, not by undoing.
        const withoutSettings = (observed: ObservedNetwork) => ({ ...observed, sysctls: {} });
        expect(unordered(withoutSettings(undone))).toEqual(unordered(withoutSettings(state)));
      }),
    );
  });
});
