import type { TenantNet } from '@mvm/protocol';
import type { CommandRunner } from '../command/command-runner.js';
import { linkExists, observeLinks, readSettings } from '../observe/observe-network.js';
import { planNetwork } from '../plan.js';
import type { NetElement } from '../sets.js';
import type { InstancePort, NetStep, NetworkContext, ObservedNetwork } from '../types.js';
import { portElements, spellOut, tenantElements } from '../wanted.js';

/** One request, as the short way needs it. `known`: the tenant was wanted before. */
export type QuickChange =
  | { readonly kind: 'ensure'; readonly net: TenantNet; readonly known: boolean }
  | { readonly kind: 'remove'; readonly net: TenantNet }
  | { readonly kind: 'attach'; readonly net: TenantNet; readonly port: InstancePort; readonly known: boolean }
  | { readonly kind: 'detach'; readonly net: TenantNet; readonly port: InstancePort };

/** The host as a whole as it stands when all is well, with these links and elements of one tenant. */
function assume(
  seen: ObservedNetwork,
  context: NetworkContext,
  links: ObservedNetwork['links'],
  elements: readonly NetElement[],
): ObservedNetwork {
  const host = spellOut({ tenants: [] }, seen, context);
  const settings = Object.fromEntries(host.sysctls.map(({ key, value }) => [key, value]));
  return {
    links,
    tables: 'intact',
    tableFaults: [],
    elements: [...host.elements, ...elements],
    rules: host.rules,
    sysctls: { ...seen.sysctls, ...settings, ...readSettings(links, []) },
  };
}

/**
 * The steps of a request by a look at the links that it concerns only; null when that is not enough and everything must be
 * looked at. Listing the tables takes longer the more tenants there are, so it is left out where a new link proves that
 * there is something to do: the transaction itself then shows whether the tables are there, and adding or deleting an
 * element succeeds whatever was there before. Throws as `planNetwork` and `observeNetwork`.
 */
export async function planQuickly(
  change: QuickChange,
  seen: ObservedNetwork,
  context: NetworkContext,
  runner: CommandRunner,
): Promise<NetStep[] | null> {
  const { net } = change;
  const bridgeExists = linkExists(net.bridge_name);
  if (change.kind === 'ensure') {
    if (bridgeExists || change.known) return null;
    return planNetwork({ tenants: [{ net, ports: [] }] }, assume(seen, context, [], []), context);
  }
  if (change.kind === 'remove') {
    const links = await observeLinks([net.bridge_name], runner);
    if (links.length === 0) return null;
    return planNetwork(
      { tenants: [] },
      assume(seen, context, links, tenantElements({ net, ports: [] })),
      context,
    );
  }
  const { port } = change;
  const tapExists = linkExists(port.tapName);
  if (change.kind === 'attach' && !change.known && !bridgeExists && !tapExists) {
    return planNetwork({ tenants: [{ net, ports: [port] }] }, assume(seen, context, [], []), context);
  }
  if (!bridgeExists || tapExists !== (change.kind === 'detach')) return null;
  if (change.kind === 'attach' && !change.known) return null;
  const links = await observeLinks([net.bridge_name, port.tapName], runner);
  const elements = [...tenantElements({ net, ports: [] }), ...(tapExists ? portElements(port) : [])];
  const ports = change.kind === 'attach' ? [port] : [];
  return planNetwork({ tenants: [{ net, ports }] }, assume(seen, context, links, elements), context);
}
