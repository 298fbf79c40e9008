import { expect, it } from 'vitest';
import { desiredPool, desiredState, desiredTenant } from '../../test/model/desired.js';
import { ModelHost } from '../../test/model/model-host.js';
import { NO_OVERRIDES, observeModel, quietContext } from '../../test/model/observe-model.js';
import { plan } from '../reconcile/plan.js';
import { requestFor } from '../reconcile/requests.js';
import { activationTargets, targetName } from './targets.js';

const TCP = { protocol: 'tcp', host_port: 8080, guest_port: 80 };

function stateOf(...pools: Record<string, unknown>[]) {
  const all = pools.map((fields, index) =>
    desiredPool(`p${index}`, { running: 1, sleep_policy: {}, ...fields }),
  );
  return desiredState([desiredTenant('acme', 3, all)]);
}

/** A host on which everything of the state is recorded. */
function hostOf(desired: ReturnType<typeof stateOf>): ModelHost {
  const host = new ModelHost(Date.parse('2026-06-01T12:00:00Z'));
  for (let pass = 0; pass < 3; pass += 1) {
    const context = quietContext(host.nowMs);
    const { actions } = plan({ desired, observed: observeModel(host), overrides: NO_OVERRIDES, context });
    for (const action of actions) host.handle(requestFor(action));
  }
  return host;
}

const ports = (desired: ReturnType<typeof stateOf>, host: ModelHost): string[] =>
  activationTargets(desired, observeModel(host).tenants).map(
    (target) => `${target.hostPort} ${target.guestPort} ${targetName(target)}`,
  );

it('listens on the TCP ports of pools that a connection wakes, in order', () => {
  const desired = stateOf(
    {
      network_policy: {
        publish: [
          { ...TCP, instance_id: 'i-1' },
          { ...TCP, protocol: 'udp' },
        ],
      },
    },
    { network_policy: { publish: [{ ...TCP, host_port: 8000 }] } },
  );
  expect(ports(desired, hostOf(desired))).toEqual(['8000 80 acme/p1', '8080 80 acme/p0/i-1']);
});

it.each([
  ['has no policy', { sleep_policy: null }],
  ['is not to be woken so', { sleep_policy: { wake_on_connect: false } }],
  ['wants nothing to run', { running: 0, sleeping: 1 }],
])('leaves a pool alone that %s', (_what, fields) => {
  const desired = stateOf({ network_policy: { publish: [TCP] }, ...fields });
  expect(ports(desired, hostOf(desired))).toEqual([]);
});

it('comes after hostd, and goes before it', () => {
  const publish = stateOf({ network_policy: { publish: [TCP] } });
  const moved = stateOf({ network_policy: { publish: [{ ...TCP, guest_port: 81 }] } });
  const gone = stateOf({});
  expect(ports(publish, new ModelHost(0))).toEqual([]);
  expect(ports(publish, hostOf(gone))).toEqual([]);
  expect(ports(gone, hostOf(publish))).toEqual([]);
  // What another port of the guest is wanted for is not what hostd has yet.
  expect(ports(moved, hostOf(publish))).toEqual([]);
});
