import { checkTenant } from '../check-network.js';
import { createCommandRunner } from '../command/command-runner.js';
import { readDropCounts } from '../observe/drop-counts.js';
import { readHostNetworks } from '../observe/host-networks.js';
import { planNetwork } from '../plan.js';
import type { ObservedNetwork } from '../types.js';
import { countChecked, overlapDrifts, verifyNetwork } from '../verify.js';
import { createLock } from './lock.js';
import type { NetworkExecutor, NetworkExecutorOptions } from './network-executor.js';
import { createNetworkState, precondition } from './network-state.js';
import { createPreforkPool } from './prefork-pool.js';
import { type NetworkWatch, watchNetwork } from './watch.js';

/** The host without anything of ours; settings of its own interfaces stay. */
function emptied(observed: ObservedNetwork): ObservedNetwork {
  return { ...observed, links: [], tables: 'absent', tableFaults: [], elements: [], profiles: [], rules: [] };
}

/**
 * The executor of this process's network namespace. Needs root (CAP_NET_ADMIN, and /proc/sys writable) when used. Throws
 * `invalid_argument` for a malformed cluster range or uplink name. One per host: two would sweep each other's tenants.
 */
export function createNetworkExecutor(options: NetworkExecutorOptions): NetworkExecutor {
  const runner = createPreforkPool(options.runner ?? createCommandRunner());
  const state = createNetworkState(options, runner);
  const { clusterCidr, context, lookAt } = state;
  const lock = createLock();
  const watches = new Set<NetworkWatch>();

  const inspect: NetworkExecutor['inspect'] = (netId) =>
    lock.run(async () => {
      const { desired, observed } = await lookAt(netId);
      return {
        drifts: [
          ...verifyNetwork(desired, observed, context()),
          ...overlapDrifts(desired, clusterCidr, readHostNetworks()),
        ],
        checked: countChecked(desired, observed, context()),
      };
    });

  return {
    reconcile: (desired) => lock.run(() => state.reconcile(desired)),
    ensureTenant: (net, policies) =>
      lock.run(async () => {
        const before = state.knownTenant(net);
        const after = { ...before, net, policies: policies ?? before.policies };
        return await state.change({ kind: 'ensure', net, after, port: null });
      }),
    removeTenant: (net) =>
      lock.run(async () => {
        checkTenant({ net, ports: [] }, clusterCidr);
        const { ports } = state.knownTenant(net);
        if (ports.length > 0) {
          throw precondition(
            'tenant_has_ports',
            `${net.bridge_name} has ${ports.length} instances`,
            "Stop the tenant's instances first.",
          );
        }
        return await state.change({ kind: 'remove', net, after: null, port: null });
      }),
    attachPort: (net, port, options) =>
      lock.run(async () => {
        const before = state.knownTenant(net);
        const others = before.ports.filter(({ tapName }) => tapName !== port.tapName);
        const after = { ...before, net, ports: [...others, port] };
        return await state.changePort({ kind: 'attach', net, after, port }, options);
      }),
    detachPort: (net, port, options) =>
      lock.run(async () => {
        checkTenant({ net, ports: [port] }, clusterCidr);
        const before = state.knownTenant(net);
        const ports = before.ports.filter(({ tapName }) => tapName !== port.tapName);
        // Nothing is made for a tenant that is not desired.
        const after = state.desired(net.tenant_net_id) !== undefined ? { ...before, ports } : null;
        return await state.changePort({ kind: 'detach', net, after, port }, options);
      }),
    verify: async (netId) => (await inspect(netId)).drifts,
    inspect,
    preview: ({ netId, fromScratch }) =>
      lock.run(async () => {
        const { desired, observed } = await lookAt(netId);
        return planNetwork(desired, fromScratch ? emptied(observed) : observed, context());
      }),
    desired: state.desired,
    drops: () => readDropCounts(runner),
    watch(onEvent) {
      const watch = watchNetwork({ restore: (reported) => lock.run(() => state.restore(reported)), onEvent });
      watches.add(watch);
      return watch;
    },
    removeAll: () => lock.run(state.removeAll),
    async close() {
      await Promise.all([...watches].map((watch) => watch.close()));
      watches.clear();
      await lock.run(state.removeUnused).finally(runner.close);
    },
  };
}
