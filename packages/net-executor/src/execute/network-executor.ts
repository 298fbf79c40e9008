import type { TenantNet } from '@mvm/protocol';
import type { CommandRunner } from '../command/command-runner.js';
import type { DropCount } from '../observe/drop-counts.js';
import type {
  DesiredHostNetwork,
  DesiredTenantNetwork,
  InstancePort,
  NetStep,
  NetworkChange,
  TenantPolicies,
  UidRange,
} from '../types.js';
import type { CheckedObjects, NetworkDrift } from '../verify.js';
import type { NetworkWatch, NetworkWatchEvent } from './watch.js';

export interface NetworkExecutorOptions {
  /** The range that every tenant's subnet comes from, canonical CIDR. */
  readonly clusterCidr: string;
  /** `auto`: the interfaces of the default routes, looked up again in every reconcile; none is fine (no egress). */
  readonly uplinks: 'auto' | readonly string[];
  /** The uids that VMMs run as: what their processes send from this network namespace is refused. */
  readonly vmmUids?: UidRange | undefined;
  readonly logger?: NetworkLogger | undefined;
  /** For tests; the host's `ip` and `nft` by default. */
  readonly runner?: CommandRunner | undefined;
}

/** The part of a pino logger that is used. */
export interface NetworkLogger {
  debug(fields: object, message: string): void;
  warn(fields: object, message: string): void;
}

export interface PortOptions {
  /**
   * Tracked connections of the port's address are left: the instance that had the address will have it again, or has it
   * again. Otherwise they end: when they cannot, attaching fails, and detaching says so in the log and goes on.
   */
  readonly keepFlows?: boolean | undefined;
}

/** Brings the host's network to what is wanted. Every method may be repeated; repeating changes nothing. */
export interface NetworkExecutor {
  /** Base tables, rules, settings, every tenant; what no record names is removed. It is the first call. */
  reconcile(desired: DesiredHostNetwork): Promise<NetworkChange>;
  /**
   * A tenant's bridge, gateway and policies (as they were when left out; else they apply at once, to ports that are there
   * too). Refused when it clashes with another, or would change the network of one with ports.
   */
  ensureTenant(net: TenantNet, policies?: TenantPolicies): Promise<NetworkChange>;
  /** The reverse. Refused, `failed_precondition` reason `net.tenant_has_ports`, while it has ports. */
  removeTenant(net: TenantNet): Promise<NetworkChange>;
  /** An instance's TAP, owned by `port.ownerUid`, on its tenant's bridge, guarded before it is raised. */
  attachPort(net: TenantNet, port: InstancePort, options?: PortOptions): Promise<NetworkChange>;
  /** The reverse; link first, guard last. */
  detachPort(net: TenantNet, port: InstancePort, options?: PortOptions): Promise<NetworkChange>;
  /** Differences between kernel and desired state, of one tenant (by net id) or of all; empty when there are none. */
  verify(netId?: number): Promise<NetworkDrift[]>;
  /** As `verify`, with how much was compared. */
  inspect(netId?: number): Promise<{ readonly drifts: NetworkDrift[]; readonly checked: CheckedObjects }>;
  /** The steps that would bring one tenant, or all, in line as of now, or `fromScratch` on a host without any. Changes nothing. */
  preview(options: {
    readonly netId?: number | undefined;
    readonly fromScratch: boolean;
  }): Promise<NetStep[]>;
  /** What is desired of a tenant, by net id; undefined when nothing is. */
  desired(netId: number): DesiredTenantNetwork | undefined;
  /** The drop counters of the tables as they stand; empty without tables. */
  drops(): Promise<DropCount[]>;
  /** Watches the kernel's tables and restores them when another program removes or changes them. Closed with the executor. */
  watch(onEvent: (event: NetworkWatchEvent) => void): NetworkWatch;
  /** Removes everything of ours: links, tables, rules; gives settings back. `reconcile` starts again from nothing. */
  removeAll(): Promise<NetworkChange>;
  /** Ends the watch. Tenants' networks stay; when no tenant is wanted and none is left, the rest goes as by `removeAll`. */
  close(): Promise<void>;
}
