import { deriveTenantNet } from '@mvm/protocol/names';
import { expect, test } from 'vitest';
import { NOW, poolRecord, tenantRecord } from '../../test/records.js';
import {
  DEFAULT_QUOTAS,
  planTeardown,
  planTenantNetwork,
  type TeardownInput,
  type TenantNetworkInput,
} from './plan-tenant.js';

const net = deriveTenantNet(3, '10.240.3.0/24');

function plan(over: Partial<TenantNetworkInput> = {}): ReturnType<typeof planTenantNetwork> {
  return planTenantNetwork(
    {
      tenantId: 'acme',
      net,
      settings: null,
      pools: [],
      known: undefined,
      others: new Map(),
      instanceCount: 0,
      clusterCidr: '10.240.0.0/12',
      hostNetworks: [],
      ...over,
    },
    { now: NOW },
  );
}

const kinds = (over: Partial<TenantNetworkInput> = {}): string[] => plan(over).steps.map((step) => step.kind);

test('an unknown tenant is recorded, with the default quotas when none are named', () => {
  const { steps } = plan();
  expect(steps.map((step) => step.kind)).toEqual(['tenant.save', 'network.ensure']);
  expect(steps[0]).toMatchObject({ record: { quotas: DEFAULT_QUOTAS, network_up: true }, before: null });
});

test('repeating it only looks at the kernel again, and never takes the network down', () => {
  const again = plan({ known: tenantRecord() });
  expect(again.steps.map((step) => step.kind)).toEqual(['network.ensure']);
  expect(again.onFailure).toBe('finish');
});

test('quotas can change while the network stays', () => {
  const quotas = { ...DEFAULT_QUOTAS, max_running: 1 };
  const settings = { quotas, policy: undefined };
  expect(kinds({ known: tenantRecord(), settings, instanceCount: 5 })).toEqual([
    'tenant.save',
    'network.ensure',
  ]);
});

test('SetupNetwork leaves recorded quotas alone', () => {
  const known = tenantRecord({ quotas: { ...DEFAULT_QUOTAS, max_running: 1 }, network_up: false });
  expect(plan({ known }).steps[0]).toMatchObject({
    record: { quotas: { max_running: 1 }, network_up: true },
  });
});

const policy = { egress: 'none', deny: [{ cidr: '203.0.113.0/24' }] } as const;
const wanted = { quotas: DEFAULT_QUOTAS, policy: { ...policy, deny: [...policy.deny] } };

test('a new tenant has its policy from the beginning, together with its pools’', () => {
  const pools = [poolRecord({ network_policy: { egress: 'open' } })];
  expect(plan({ settings: wanted, pools }).steps).toMatchObject([
    { kind: 'tenant.save', record: { policy } },
    {
      kind: 'network.ensure',
      policies: { tenant: policy, pools: { workers: { egress: 'open' } } },
      before: null,
    },
  ]);
});

test('another policy is applied and recorded together, or neither', () => {
  const changed = plan({ known: tenantRecord(), settings: wanted, instanceCount: 5 });
  expect(changed).toMatchObject({
    onFailure: 'undo',
    steps: [
      { kind: 'tenant.save', record: { policy } },
      { kind: 'network.ensure', policies: { tenant: policy }, before: {} },
    ],
  });
  const known = tenantRecord({ policy: wanted.policy });
  expect(plan({ known, settings: wanted }).onFailure).toBe('finish');
  const reset = plan({ known, settings: { ...wanted, policy: undefined } });
  expect(reset.steps).toMatchObject([{ kind: 'tenant.save' }, { policies: {}, before: { tenant: policy } }]);
});

test('SetupNetwork leaves a recorded policy alone', () => {
  const known = tenantRecord({ policy: wanted.policy });
  expect(plan({ known }).steps).toMatchObject([{ kind: 'network.ensure', policies: { tenant: policy } }]);
});

test('a policy that cannot be enforced is refused before anything else', () => {
  const settings = { ...wanted, policy: { allow: [{ cidr: '0.0.0.0/0 accept' }] } };
  expect(() => plan({ settings })).toThrow(expect.objectContaining({ reason: 'net.invalid_policy' }));
});

test('another network replaces the recorded one as long as there are no instances', () => {
  const other = deriveTenantNet(4, '10.240.4.0/24');
  expect(kinds({ known: tenantRecord(), net: other })).toEqual([
    'tenant.save',
    'network.remove',
    'network.ensure',
  ]);
  expect(() => plan({ known: tenantRecord(), net: other, instanceCount: 1 })).toThrow(
    expect.objectContaining({ code: 'failed_precondition', reason: 'tenant.net_in_use' }),
  );
});

test.each([
  ['the same network id', deriveTenantNet(3, '10.240.9.0/24')],
  ['the same subnet', deriveTenantNet(9, '10.240.3.0/24')],
  ['a subnet around it', deriveTenantNet(9, '10.240.0.0/16')],
  ['a subnet inside it', deriveTenantNet(9, '10.240.3.128/25')],
])('a clash with another tenant by %s is refused', (_what, other) => {
  expect(() => plan({ others: new Map([['rival', other]]) })).toThrow(
    expect.objectContaining({
      code: 'already_exists',
      reason: 'tenant.net_clash',
      message: expect.stringContaining('rival'),
    }),
  );
});

test('a network that does not follow from its id is refused before anything else', () => {
  expect(() => plan({ net: { ...net, bridge_name: 'docker0' } })).toThrow(
    expect.objectContaining({ reason: 'net.bridge_mismatch' }),
  );
  expect(() => plan({ net: deriveTenantNet(3, '192.168.3.0/24') })).toThrow(
    expect.objectContaining({ reason: 'net.subnet_outside_cluster' }),
  );
});

function teardown(over: Partial<TeardownInput> = {}): string[] {
  const { steps } = planTeardown({
    tenant: tenantRecord(),
    net,
    runningCount: 0,
    pools: [],
    forget: false,
    ...over,
  });
  return steps.map((step) => step.kind);
}

test('a teardown is recorded, then done; repeating it only does it', () => {
  expect(teardown()).toEqual(['tenant.save', 'network.remove']);
  expect(teardown({ tenant: tenantRecord({ network_up: false }) })).toEqual(['network.remove']);
  expect(teardown({ forget: true, net: null })).toEqual(['network.remove', 'tenant.remove']);
});

test('a teardown is refused while instances run, or when it names another network', () => {
  expect(() => teardown({ runningCount: 2 })).toThrow(
    expect.objectContaining({ reason: 'tenant.has_running_instances' }),
  );
  expect(() => teardown({ net: deriveTenantNet(4, '10.240.4.0/24') })).toThrow(
    expect.objectContaining({ reason: 'tenant.net_mismatch' }),
  );
});
