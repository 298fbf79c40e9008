import type { CommandRunner } from '../command/command-runner.js';
import { linkExists, observeLinks, readSettings } from '../observe/observe-network.js';
import { planNetwork } from '../plan.js';
import type { NetElement } from '../sets.js';
import type {
  DesiredTenantNetwork,
  InstancePort,
  NetStep,
  NetworkContext,
  ObservedNetwork,
} from '../types.js';
import { portElements, spellOut, tenantElements } from '../wanted.js';

interface QuickBase {
  /** The tenant as it is wanted, or was until now; its ports do not matter. */
  readonly tenant: DesiredTenantNetwork;
  /** Whether it was wanted before this request. */
  readonly known: boolean;
}

/** One request, as the short way needs it. */
export type QuickChange =
  | (QuickBase & { readonly kind: 'ensure' })
  | (QuickBase & { readonly kind: 'remove' })
  | (QuickBase & { readonly kind: 'attach' | 'detach'; readonly port: InstancePort });

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
  const { known } = change;
  const { net } = change.tenant;
  const tenant = { ...change.tenant, ports: [] };
  const bridgeExists = linkExists(net.bridge_name);
  const make = (desired: DesiredTenantNetwork) =>
    planNetwork({ tenants: [desired] }, assume(seen, context, [], []), context);
  if (change.kind === 'ensure') return bridgeExists || known ? null : make(tenant);
  if (change.kind === 'remove') {
    const links = await observeLinks([net.bridge_name], runner);
    if (links.length === 0) return null;
    return planNetwork({ tenants: [] }, assume(seen, context, links, tenantElements(tenant)), context);
  }
  const { port } = change;
  const tapExists = linkExists(port.tapName);
  const attach = change.kind === 'attach';
  if (attach && !known && !bridgeExists && !tapExists) return make({ ...tenant, ports: [port] });
  if (!known || !bridgeExists || tapExists === attach) return null;
  const links = await observeLinks([net.bridge_name, port.tapName], runner);
  const elements = [...tenantElements(tenant), ...(tapExists ? portElements(port) : [])];
  const desired = { tenants: [{ ...tenant, ports: attach ? [port] : [] }] };
  return planNetwork(desired, assume(seen, context, links, elements), context);
}
