import type { NetworkPolicy, PoolNetworkPolicy, TenantNet } from '@mvm/protocol';
import type { LinkSettings } from './link-settings.js';
import type { ObservedProfile, ProfileSpec } from './profile.js';
import type { NetElement } from './sets.js';

/** One guest's place on its tenant's bridge. Name, MAC and address follow from the net id and the IP offset. */
export interface GuestPort {
  /** `tn<net id>i<offset>`. */
  readonly tapName: string;
  /** Lower case, colons. */
  readonly mac: string;
  /** Dotted decimal. */
  readonly ipv4: string;
  /** The pool whose policy it has, and whose published ports may lead to it; the tenant's policy when absent. */
  readonly poolId?: string | undefined;
  /** By which a published port may name it. */
  readonly instanceId?: string | undefined;
}

/** A guest's place with the VMM that may take it. */
export interface InstancePort extends GuestPort {
  /** The only uid, besides root, that may open the TAP: the VMM's. 0…4294967294. */
  readonly ownerUid: number;
}

/** Network policies of one tenant. */
export interface TenantPolicies {
  /** Of all its guests. */
  readonly tenant?: NetworkPolicy | undefined;
  /** By pool; replace the tenant's field by field. */
  readonly pools?: Readonly<Record<string, PoolNetworkPolicy>> | undefined;
}

/** A tenant's guests and what they may do: all that the rules follow from. */
export interface TenantGuests {
  readonly net: TenantNet;
  readonly ports: readonly GuestPort[];
  /** What its guests may do; what is left out is as in `DEFAULT_POLICY`. */
  readonly policies?: TenantPolicies | undefined;
}

/** What one tenant is to have on this host. */
export interface DesiredTenantNetwork extends TenantGuests {
  readonly ports: readonly InstancePort[];
}

/** Everything that this host is to have. Order carries no meaning. */
export interface DesiredHostNetwork {
  readonly tenants: readonly DesiredTenantNetwork[];
}

/** Both are in it; 1…4294967294, `first` the smaller. */
export interface UidRange {
  readonly first: number;
  readonly last: number;
}

/** What the planner must know of the host besides the desired state. */
export interface NetworkContext {
  /** The range that every tenant's subnet comes from, canonical CIDR. */
  readonly clusterCidr: string;
  /** Interfaces through which guests may leave the host; may be empty. */
  readonly uplinks: readonly string[];
  /** Uplinks that we are known to have switched to forwarding, beside those that the kernel's set `switched` names. */
  readonly switched?: readonly string[] | undefined;
  /** The uids that VMMs run as: what they send from the host's own network is refused. None: nothing is refused. */
  readonly vmmUids?: UidRange | undefined;
  /** Guests' addresses whose connections outlast their port: the same instance will have them again. */
  readonly keptFlows?: readonly string[] | undefined;
  /** Addresses whose connections end even when no TAP goes: their guest slept. `keptFlows` counts more. */
  readonly endedFlows?: readonly string[] | undefined;
  /** `absent`: nothing of ours is to stay, not even the base tables; the desired network must then be empty. */
  readonly base: 'present' | 'absent';
}

/** A link that bears a name of ours, as the kernel has it. */
export interface ObservedLink {
  readonly name: string;
  /** `other`: another program's interface under a name of ours; it is never touched. */
  readonly kind: 'bridge' | 'tap' | 'other';
  readonly mac: string;
  readonly up: boolean;
  /** The bridge that it is a port of. */
  readonly master: string | null;
  /** IPv4 addresses with prefix length. */
  readonly addresses: readonly string[];
  /** Owner of a TAP; null when anybody with CAP_NET_ADMIN only, and for bridges. */
  readonly ownerUid: number | null;
  /** Those of the link and of its kind that we set. */
  readonly settings: LinkSettings;
  /** Those of a bridge's port that we set; empty for what is no port. */
  readonly portSettings: LinkSettings;
  /** What the bridge's forwarding table has behind this port, the port's own MAC aside. */
  readonly forwarding: readonly ForwardingEntry[];
}

/** A MAC that a bridge sends to one of its ports. */
export interface ForwardingEntry {
  readonly mac: string;
  /** `static`: written with CAP_NET_ADMIN; `learned`: from a frame. */
  readonly kind: 'static' | 'learned';
}

/** A policy-routing rule of ours; `cidr` is both source and destination. */
export interface PolicyRule {
  /** `local`: the host itself may reach its guests; `isolate`: nothing else is routed inside the range. */
  readonly kind: 'local' | 'isolate';
  readonly cidr: string;
}

/** A kernel setting: key as a path below /proc/sys, e.g. `net/ipv4/conf/eth0/forwarding`. */
export interface Sysctl {
  readonly key: string;
  readonly value: string;
}

/**
 * Whether our tables stand as they should, elements aside: `damaged` when a chain, rule, set, map or counter of ours is
 * missing, changed or added to.
 */
export type TablesState = 'absent' | 'intact' | 'damaged';

/** What the kernel has of ours, and the settings that ours depend on. */
export interface ObservedNetwork {
  readonly links: readonly ObservedLink[];
  readonly tables: TablesState;
  /** What is wrong with damaged tables, one phrase each. */
  readonly tableFaults: readonly string[];
  /** Elements of our sets and maps. Sets that packets fill (limits) are left out. */
  readonly elements: readonly NetElement[];
  /** Chains and sets of policies. */
  readonly profiles: readonly ObservedProfile[];
  readonly rules: readonly PolicyRule[];
  /** Value by key; a key that is missing does not exist on this host. */
  readonly sysctls: Readonly<Record<string, string>>;
}

/**
 * One change, as data: it can be logged, compared, shown before it is made, and undone (`invertStep`).
 * Every field is checked once more where the step is rendered.
 */
export type NetStep =
  | {
      readonly kind: 'tables.load';
      readonly was: TablesState;
      readonly elements: readonly NetElement[];
      readonly profiles: readonly ProfileSpec[];
    }
  | {
      readonly kind: 'tables.delete';
      readonly elements: readonly NetElement[];
      readonly profiles: readonly ProfileSpec[];
    }
  | { readonly kind: 'profile.create'; readonly id: string; readonly spec: ProfileSpec }
  | {
      readonly kind: 'profile.delete';
      readonly id: string;
      readonly chains: readonly string[];
      readonly sets: readonly string[];
      /** What it was made from; null when that is not known, and then it cannot be made again. */
      readonly spec: ProfileSpec | null;
    }
  | { readonly kind: 'element.add'; readonly element: NetElement }
  | { readonly kind: 'element.delete'; readonly element: NetElement }
  | { readonly kind: 'bridge.create'; readonly name: string; readonly mac: string }
  | {
      readonly kind: 'bridge.delete';
      readonly name: string;
      readonly mac: string;
      readonly addresses: readonly string[];
      readonly up: boolean;
    }
  | { readonly kind: 'mac.set'; readonly link: string; readonly mac: string; readonly was: string }
  | {
      readonly kind: 'link.set' | 'port.set';
      readonly name: string;
      readonly settings: LinkSettings;
      /** The values before; null when they came with a link made, or a bridge joined, in the same request. */
      readonly was: LinkSettings | null;
    }
  /** Ends the connections that the kernel tracks of an address. */
  | { readonly kind: 'flows.forget'; readonly address: string }
  | { readonly kind: 'forwarding.add' | 'forwarding.delete'; readonly port: string; readonly mac: string }
  | { readonly kind: 'address.add'; readonly link: string; readonly address: string }
  | { readonly kind: 'address.delete'; readonly link: string; readonly address: string }
  | { readonly kind: 'tap.create'; readonly name: string; readonly ownerUid: number }
  | {
      readonly kind: 'tap.delete';
      readonly name: string;
      readonly ownerUid: number | null;
      readonly bridge: string | null;
      readonly up: boolean;
    }
  | {
      readonly kind: 'port.join';
      readonly name: string;
      readonly bridge: string;
      readonly was: string | null;
    }
  | { readonly kind: 'port.leave'; readonly name: string; readonly was: string }
  | { readonly kind: 'link.up'; readonly name: string }
  | { readonly kind: 'link.down'; readonly name: string }
  | { readonly kind: 'rule.add'; readonly rule: PolicyRule }
  | { readonly kind: 'rule.delete'; readonly rule: PolicyRule }
  | {
      readonly kind: 'sysctl.write';
      readonly key: string;
      readonly value: string;
      /** The value before; null when it came with a link made in the same request. */
      readonly was: string | null;
    };

export type NetStepKind = NetStep['kind'];

/** What a request did. */
export interface NetworkChange {
  /** In order; empty when there was nothing to do. */
  readonly steps: readonly NetStep[];
}
