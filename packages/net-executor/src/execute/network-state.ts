import { CodedError, type TenantNet } from '@mvm/protocol';
import { checkConflicts, checkDesiredNetwork, checkTenant } from '../check-network.js';
import { expandDesired, switchedUplinks, tenantProfiles } from '../expand-desired.js';
import { cidrText, interfaceName } from '../grammar.js';
import { observeNetwork } from '../observe/observe-network.js';
import { readDefaultRouteLinks } from '../observe/uplinks.js';
import { planNetwork } from '../plan.js';
import { type ObservedProfile, profileIdOf, profileSignature, toObservedProfile } from '../profile.js';
import type {
  DesiredHostNetwork,
  DesiredTenantNetwork,
  InstancePort,
  NetStep,
  NetworkChange,
  NetworkContext,
  ObservedNetwork,
} from '../types.js';
import type { NetworkExecutorOptions, PortOptions } from './network-executor.js';
import { type IncrementalChange, planIncremental } from './plan-incremental.js';
import type { PreforkPool } from './prefork-pool.js';
import { runSteps } from './run-steps.js';
import { netIdOf, scopeToTenant } from './scope.js';

// INVARIANTS
// - `desiredTenants` holds what was asked for and achieved, never what is believed to stand in the kernel; the kernel is looked at
//   again in every request.
// - Everything that changes the kernel runs inside `lock`.
// - A request touches its tenant, and the tables and rules that all share; other tenants' links are left alone.
//   `reconcile`, the watch and `removeAll` are the only ones that remove what no record names.

type DesiredTenants = ReadonlyMap<number, DesiredTenantNetwork>;

function toDesired(tenants: DesiredTenants): DesiredHostNetwork {
  return { tenants: [...tenants.values()] };
}

/** A `failed_precondition` of the network. */
export function precondition(reason: string, message: string, hint: string): CodedError {
  return new CodedError({ code: 'failed_precondition', reason: `net.${reason}`, message, hint });
}

/** Only egress rules see what goes to an uplink: a tenant's own interface can be none. */
function uplinkName(name: string): string {
  if (netIdOf(name) === null) return interfaceName(name);
  throw new CodedError({
    code: 'invalid_argument',
    reason: 'net.invalid_uplink',
    message: `${name} is an interface of a tenant and cannot be an uplink`,
    hint: 'Name the interface through which the host reaches the internet.',
  });
}

/** What this process wants of the network and last saw of it, and how one is brought to the other. Call it inside the lock only. */
export function createNetworkState(options: NetworkExecutorOptions, runner: PreforkPool) {
  const clusterCidr = cidrText(options.clusterCidr);
  const fixedUplinks = options.uplinks === 'auto' ? null : options.uplinks.map(uplinkName);
  let desiredTenants: DesiredTenants = new Map();
  // Guests' addresses whose connections have ended with their port, and that no port had since.
  const withoutFlows = new Set<string>();
  let switched: readonly string[] = [];
  // What the host had when everything was last looked at; null until then.
  let lastSeen: ObservedNetwork | null = null;

  function context(base: NetworkContext['base'] = 'present'): NetworkContext {
    return {
      clusterCidr,
      uplinks: fixedUplinks ?? readDefaultRouteLinks(),
      switched,
      base,
      vmmUids: options.vmmUids,
    };
  }

  /** Known from what is wanted until now, so that its removal can be undone. */
  function withSpec(profile: ObservedProfile): ObservedProfile {
    const known = [...desiredTenants.values()].flatMap(tenantProfiles).find(({ id }) => id === profile.id);
    const same =
      known !== undefined && profileSignature(toObservedProfile(known)) === profileSignature(profile);
    return same ? { ...profile, spec: known.spec } : profile;
  }

  function others(netId: number): DesiredTenantNetwork[] {
    return [...desiredTenants.values()].filter(({ net }) => net.tenant_net_id !== netId);
  }

  function profilesBeside(netId: number): ReadonlySet<string> {
    return new Set(
      others(netId)
        .flatMap(tenantProfiles)
        .map(({ id }) => id),
    );
  }

  /** Whether the kernel reported only the removal of a policy that no port has any more: our own change. */
  function isForgottenProfile(line: string): boolean {
    const id = line.split(/\s+/).map(profileIdOf).find(Boolean);
    return (
      id != null && ![...desiredTenants.values()].flatMap(tenantProfiles).some((profile) => profile.id === id)
    );
  }

  async function observe(): Promise<ObservedNetwork> {
    const { uplinks } = context();
    const seen = await observeNetwork({ uplinks: [...new Set([...uplinks, ...switched])], runner });
    const observed = { ...seen, profiles: seen.profiles.map(withSpec) };
    // Remembered, because a flush takes the kernel's own record away.
    switched = switchedUplinks(observed, context());
    return observed;
  }

  function remember(observed: ObservedNetwork, steps: readonly NetStep[]): void {
    const loaded = steps.flatMap((step) => {
      if (step.kind === 'tables.load') return step.elements;
      return step.kind === 'element.add' ? [step.element] : [];
    });
    switched = switchedUplinks({ ...observed, elements: [...observed.elements, ...loaded] }, context());
    lastSeen = observed;
  }

  /**
   * What ends must always end: connections that cannot be ended stay until an instance gets their address. `strict`: that is
   * now, and a failure like any other. Answers what was made.
   */
  async function run(planned: readonly NetStep[], strict = false): Promise<NetworkChange> {
    const onFlowsLeft = (error: CodedError) =>
      options.logger?.warn({ err: error }, 'connections of a guest could not be ended');
    const steps =
      planned.length === 0 ? planned : await runSteps(planned, runner, strict ? undefined : onFlowsLeft);
    options.logger?.debug({ steps: steps.map(({ kind }) => kind) }, 'network changed');
    return { steps };
  }

  async function reconcileNow(desired: DesiredHostNetwork): Promise<NetworkChange> {
    checkDesiredNetwork(desired, clusterCidr);
    const observed = await observe();
    const steps = planNetwork(desired, observed, context());
    const change = await run(steps);
    remember(observed, steps);
    desiredTenants = new Map(desired.tenants.map((tenant) => [tenant.net.tenant_net_id, tenant]));
    for (const { ipv4 } of desired.tenants.flatMap(({ ports }) => ports)) withoutFlows.delete(ipv4);
    runner.refill();
    return change;
  }

  function scope(
    observed: ObservedNetwork,
    netId: number,
    ipv4Subnet: string | null,
    tenant: DesiredTenantNetwork | undefined,
  ): ObservedNetwork {
    const own = new Set(tenant === undefined ? [] : tenantProfiles(tenant).map(({ id }) => id));
    return scopeToTenant(observed, netId, ipv4Subnet, { desired: own, others: profilesBeside(netId) });
  }

  /** The steps of one tenant, looking at everything; damaged tables are loaded with everybody's elements. */
  async function planFull(
    next: DesiredTenants,
    net: TenantNet,
    flows: Pick<NetworkContext, 'keptFlows' | 'endedFlows'>,
  ): Promise<NetStep[]> {
    const netId = net.tenant_net_id;
    const observed = await observe();
    const tenant = next.get(netId);
    const desired = { tenants: tenant === undefined ? [] : [tenant] };
    const steps = planNetwork(desired, scope(observed, netId, net.ipv4_subnet, tenant), {
      ...context(),
      ...flows,
    });
    const { elements, profiles } = expandDesired(toDesired(next), observed, context());
    const specs = profiles.map(({ spec }) => spec);
    const whole = steps.map((step) =>
      step.kind === 'tables.load' ? { ...step, elements, profiles: specs } : step,
    );
    remember(observed, whole);
    return whole;
  }

  /** Bring one tenant from what was wanted of it to `after`; the others stay, and are not even looked at. */
  async function change(
    request: Pick<IncrementalChange, 'kind' | 'net' | 'after' | 'port'>,
    { keepFlows = false }: PortOptions = {},
  ): Promise<NetworkChange> {
    const address = request.port?.ipv4;
    // The kernel's whole table is gone through to end them, which takes longer than all the rest: not twice.
    const none = address !== undefined && withoutFlows.has(address);
    const keep = keepFlows || (none && request.kind === 'attach');
    const flows = {
      keptFlows: address !== undefined && keep ? [address] : [],
      // Of an instance that sleeps, which has no TAP, too.
      endedFlows: address !== undefined && !none && request.kind === 'detach' ? [address] : [],
    };
    const strict = request.kind === 'attach';
    const { net, after } = request;
    const netId = net.tenant_net_id;
    if (after !== null) {
      checkTenant(after, clusterCidr);
      checkConflicts(after, others(netId));
    }
    const next = new Map(desiredTenants);
    if (after === null) next.delete(netId);
    else next.set(netId, after);
    const before = desiredTenants.get(netId) ?? null;
    const quick = { ...request, before, othersProfiles: profilesBeside(netId) };
    const seen = lastSeen;
    if (seen === null) {
      throw precondition(
        'not_reconciled',
        'the network was not reconciled yet',
        'Call reconcile first; restart hostd.',
      );
    }
    const steps = await planIncremental(quick, seen, { ...context(), ...flows }, runner);
    if (steps !== null) {
      try {
        const done = await run(steps, strict);
        desiredTenants = next;
        return done;
      } catch (error) {
        // Something is not as assumed, e.g. a table is gone: look at everything and plan again.
        options.logger?.warn({ err: error }, 'network change failed, looking at the whole network');
      }
    }
    const done = await run(await planFull(next, net, flows), strict);
    desiredTenants = next;
    return done;
  }

  /** As `change`, and remembers whether the port's address has connections. */
  async function changePort(
    request: Pick<IncrementalChange, 'kind' | 'net' | 'after'> & { readonly port: InstancePort },
    options: PortOptions | undefined,
  ): Promise<NetworkChange> {
    const { ipv4 } = request.port;
    const done = await change(request, options).catch((error: unknown) => {
      withoutFlows.delete(ipv4);
      throw error;
    });
    const ended = done.steps.some((step) => step.kind === 'flows.forget' && step.address === ipv4);
    if (request.kind === 'attach') withoutFlows.delete(ipv4);
    else if (ended) withoutFlows.add(ipv4);
    return done;
  }

  function knownTenant(net: TenantNet): DesiredTenantNetwork {
    const tenant = desiredTenants.get(net.tenant_net_id) ?? { net, ports: [] };
    if (tenant.ports.length > 0 && tenant.net.ipv4_subnet !== net.ipv4_subnet) {
      throw precondition(
        'tenant_has_ports',
        `tenant net id ${net.tenant_net_id} has ${tenant.ports.length} instances on ${tenant.net.ipv4_subnet}`,
        'Stop its instances before its network is changed.',
      );
    }
    return tenant;
  }

  /** The desired and the observed network in the scope of one tenant (by net id), or of all. */
  async function lookAt(
    netId: number | undefined,
  ): Promise<{ desired: DesiredHostNetwork; observed: ObservedNetwork }> {
    const observed = await observe();
    if (netId === undefined) return { desired: toDesired(desiredTenants), observed };
    const tenant = desiredTenants.get(netId);
    return {
      desired: { tenants: tenant === undefined ? [] : [tenant] },
      observed: scope(observed, netId, tenant?.net.ipv4_subnet ?? null, tenant),
    };
  }

  async function removeAll(): Promise<NetworkChange> {
    const observed = await observe();
    const done = await run(planNetwork({ tenants: [] }, observed, context('absent')));
    desiredTenants = new Map();
    switched = [];
    lastSeen = null;
    return done;
  }

  /** As `removeAll`, when no tenant is wanted and none is left. */
  async function removeUnused(): Promise<void> {
    if (lastSeen === null || desiredTenants.size > 0) return;
    const observed = await observe();
    if (observed.links.some(({ kind }) => kind !== 'other')) return;
    await run(planNetwork({ tenants: [] }, observed, context('absent')));
    lastSeen = null;
  }

  /** Bring everything in line again after `reported` changes; nothing when they are our own doing. */
  async function restore(reported: readonly string[]): Promise<NetworkChange> {
    const nothing = lastSeen === null || (reported.length > 0 && reported.every(isForgottenProfile));
    return nothing ? { steps: [] } : await reconcileNow(toDesired(desiredTenants));
  }

  return {
    ...{ clusterCidr, context, knownTenant, change, changePort, lookAt, removeAll, removeUnused, restore },
    reconcile: reconcileNow,
    desired: (netId: number): DesiredTenantNetwork | undefined => desiredTenants.get(netId),
  };
}
