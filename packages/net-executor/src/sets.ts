/** How one field of a set's key is written and checked; see `grammar.ts`. */
export type FieldType =
  | 'ifname'
  | 'ether_addr'
  | 'ipv4_addr'
  | 'ipv4_cidr'
  | 'inet_proto'
  | 'inet_service'
  /** `<first>-<last>` */
  | 'uid_range';

/** How nft calls the type of a field. */
export function nftType(field: FieldType): string {
  if (field === 'ipv4_cidr') return 'ipv4_addr';
  return field === 'uid_range' ? 'uid' : field;
}

interface SetShape {
  readonly family: 'bridge' | 'inet';
  /** Concatenated in this order. */
  readonly key: readonly FieldType[];
  /** A map whose values are, for `goto` and `jump`, chains, and for `address` `<ipv4> . <port>`. */
  readonly map?: 'goto' | 'jump' | 'address';
  readonly interval?: true;
}

/** The sets and maps of ours whose elements follow from what is wanted. Source: docs/networking.md#tables. */
export const SETS = {
  /** TAPs under guard; everything else on any bridge is left alone. */
  taps: { family: 'bridge', key: ['ifname'] },
  /** Which MAC may send through which TAP. */
  port_mac: { family: 'bridge', key: ['ifname', 'ether_addr'] },
  /** Which MAC and IPv4 address together may send through which TAP. */
  port_src: { family: 'bridge', key: ['ifname', 'ether_addr', 'ipv4_addr'] },
  /** TAPs of instances that are kept from the others of their tenant. */
  isolated: { family: 'bridge', key: ['ifname'] },
  /** The same TAPs, for what a port hands up itself. */
  ports: { family: 'inet', key: ['ifname'] },
  /** Each guest's address with itself: whether two addresses of a packet are one guest's. */
  self: { family: 'inet', key: ['ipv4_addr', 'ipv4_addr'] },
  /** Tenants' bridges. */
  bridges: { family: 'inet', key: ['ifname'] },
  /** From which bridge to which bridge guests may be routed: each to itself. */
  intra: { family: 'inet', key: ['ifname', 'ifname'] },
  /** Each bridge's gateway: the only address of the host that its guests may speak to. */
  gw: { family: 'inet', key: ['ifname', 'ipv4_addr'] },
  /** Addresses of instances that are kept from the others of their tenant. */
  isolated4: { family: 'inet', key: ['ipv4_addr'] },
  /** What the guests behind a bridge may reach outside, when their policy is but an egress. */
  egress: { family: 'inet', key: ['ifname'], map: 'goto' },
  /** Guests with more of a policy than an egress, or another than their tenant's. */
  own_policy: { family: 'inet', key: ['ipv4_addr'] },
  /** What those guests may send. */
  guest_out: { family: 'inet', key: ['ipv4_addr'], map: 'jump' },
  /** How much a guest may get. */
  guest_in: { family: 'inet', key: ['ipv4_addr'], map: 'jump' },
  /** Published ports: protocol and port of the host → address and port of a guest. */
  publish: { family: 'inet', key: ['inet_proto', 'inet_service'], map: 'address' },
  /** The guests' side of published ports. */
  published: { family: 'inet', key: ['inet_proto', 'ipv4_addr', 'inet_service'] },
  /** Interfaces through which guests leave the host. */
  uplinks: { family: 'inet', key: ['ifname'] },
  /** Uplinks whose forwarding we switched on: only guests are forwarded from them; switched off again at the end. */
  switched: { family: 'inet', key: ['ifname'] },
  /** The cluster's range. */
  pool4: { family: 'inet', key: ['ipv4_cidr'], interval: true },
  /** Addresses that `internet` egress does not reach. */
  private4: { family: 'inet', key: ['ipv4_cidr'], interval: true },
  /** The uids that VMMs have: none of them speaks from the host's own network. */
  vmm_uids: { family: 'inet', key: ['uid_range'], interval: true },
} as const satisfies Record<string, SetShape>;

export type SetName = keyof typeof SETS;

/** Names in `SETS`, in the order in which scripts fill them. */
export const SET_NAMES = Object.keys(SETS) as readonly SetName[];

/** The shape of a set, widened so that optional parts can be asked for. */
export function setShape(name: SetName): SetShape {
  return SETS[name];
}

/** The type of a map's values, as nft writes it. */
export const MAP_TYPES = { goto: 'verdict', jump: 'verdict', address: 'ipv4_addr . inet_service' } as const;

/** One element of a set, or of a map when `value` is there. */
export interface NetElement {
  readonly set: SetName;
  /** One text per field of the set's key. */
  readonly key: readonly string[];
  /** Of a verdict map: the chain to go or jump to. Of an address map: address and port, as `10.240.3.5 . 80`. */
  readonly value?: string | undefined;
}

/** A text that is equal for two elements exactly when they are the same element with the same value. */
export function elementId(element: NetElement): string {
  return `${elementKey(element)} : ${element.value ?? ''}`;
}

/** A text that is equal for two elements exactly when they have the same place in the same set. */
export function elementKey(element: NetElement): string {
  return `${element.set} ${element.key.join(' . ')}`;
}
