/** A rule and why it is there; the reason, with a fingerprint, becomes the rule's comment in the kernel. */
export interface BaseRule {
  readonly text: string;
  readonly why: string;
  /** The part of a network policy that it follows from; absent for what holds under every policy. */
  readonly follows?: PolicyPart | undefined;
}

/** A part of a guest's policy, e.g. `egress`, `deny[0]`, `limits.connections`. */
export interface PolicyPart {
  readonly field: string;
  /** Whose policy: that of the guest that sends the packet, or of the one that gets it. */
  readonly of: 'sender' | 'receiver';
}

/** A chain of ours, and its rules in order. */
export interface BaseChain {
  readonly name: string;
  /** Absent for a chain that is only jumped to. */
  readonly hook?: { readonly type: 'filter' | 'nat'; readonly hook: string; readonly priority: number };
  readonly rules: readonly BaseRule[];
}

/** A table of ours without its elements. Base chains let pass what is not ours, so other software is untouched. */
export interface BaseTable {
  readonly family: 'bridge' | 'inet';
  /** Names of counters: one per reason to drop a packet. */
  readonly counters: readonly string[];
  /** Name → definition of the sets that packets fill. */
  readonly dynamicSets: Readonly<Record<string, string>>;
  readonly chains: readonly BaseChain[];
}

/** The name of both our tables. */
export const TABLE_NAME = 'mvm';

/** Per guest, by source address. */
export const DEFAULT_LIMITS = {
  /** New connections or flows per second, and how many above that at once. */
  newPerSecond: 200,
  newBurst: 400,
  /** Tracked connections at a time. */
  connections: 1000,
  /** Echo requests to the gateway per second, and how many at once. */
  pingsPerSecond: 50,
  pingBurst: 50,
} as const;

/** Addresses that guests with `internet` egress do not reach: private, link-local, shared, multicast, reserved. */
export const PRIVATE_RANGES = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '224.0.0.0/3',
] as const;

function rule(text: string, why: string, field?: string, of: PolicyPart['of'] = 'sender'): BaseRule {
  return field === undefined ? { text, why } : { text, why, follows: { field, of } };
}

/**
 * Never merely `established`, nor merely a reply: an entry of conntrack that is older than the rules must not keep a path
 * open, and a guest keeps one alive by sending.
 */
export const ANSWERS = rule(
  'ct direction reply ct state established meta l4proto . ip saddr . th sport @published accept',
  'answers of a published port',
);

const BRIDGE_TABLE: BaseTable = {
  family: 'bridge',
  counters: ['c_mac', 'c_arp', 'c_ip', 'c_l2', 'c_dhcpsrv', 'c_isolated'],
  dynamicSets: {},
  chains: [
    {
      name: 'pre',
      hook: { type: 'filter', hook: 'prerouting', priority: -300 },
      rules: [rule('iifname @taps goto guard', 'only what our TAPs send is judged')],
    },
    {
      name: 'guard',
      rules: [
        // First, because nearly everything is: its MAC and address are one look.
        rule('ether type ip goto guard_ip', 'IPv4'),
        rule('iifname . ether saddr != @port_mac counter name c_mac drop', 'foreign MAC'),
        rule('ether type arp goto guard_arp', 'ARP'),
        rule('counter name c_l2 drop', 'anything else: IPv6, VLAN tags, LLDP'),
      ],
    },
    {
      name: 'guard_arp',
      rules: [
        rule(
          'arp htype 1 arp ptype ip arp hlen 6 arp plen 4 iifname . arp saddr ether . arp saddr ip @port_src accept',
          'own MAC and address',
        ),
        rule(
          'arp operation request arp saddr ip 0.0.0.0 iifname . arp saddr ether @port_mac accept',
          'probe for a duplicate address',
        ),
        rule('counter name c_arp drop', 'claims another address'),
      ],
    },
    {
      name: 'guard_ip',
      rules: [
        rule('udp sport 67 counter name c_dhcpsrv drop', 'rogue DHCP server'),
        rule('iifname . ether saddr . ip saddr @port_src accept', 'own MAC and address'),
        rule('iifname . ether saddr != @port_mac counter name c_mac drop', 'foreign MAC'),
        rule(
          'ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept',
          'DHCP client without an address',
        ),
        rule('counter name c_ip drop', 'foreign source address'),
      ],
    },
    {
      name: 'between',
      hook: { type: 'filter', hook: 'forward', priority: -300 },
      rules: [
        rule(
          'iifname @isolated counter name c_isolated drop',
          'sent by an isolated instance to another',
          'isolate_instances',
        ),
        rule(
          'oifname @isolated counter name c_isolated drop',
          'sent to an isolated instance by another',
          'isolate_instances',
          'receiver',
        ),
      ],
    },
  ],
};

const INET_TABLE: BaseTable = {
  family: 'inet',
  counters: [
    'c_v6',
    'c_rpf',
    'c_xtenant',
    'c_notuplink',
    'c_private',
    'c_rate',
    'c_conns',
    'c_none',
    'c_hostin',
    'c_unsolicited',
    'c_transit',
    'c_invalid',
    'c_ping',
    'c_apart',
    'c_denied',
    'c_bandwidth',
    'c_packets',
  ],
  dynamicSets: {
    vm_new: 'type ipv4_addr; size 65535; flags dynamic,timeout; timeout 1m;',
    vm_conns: 'type ipv4_addr; size 65535; flags dynamic;',
    vm_icmp: 'type ipv4_addr; size 65535; flags dynamic,timeout; timeout 1m;',
  },
  chains: [
    {
      name: 'raw_pre',
      hook: { type: 'filter', hook: 'prerouting', priority: -300 },
      rules: [rule('iifname @bridges goto guest_raw', 'only what guests send is judged')],
    },
    {
      name: 'guest_raw',
      rules: [
        rule('meta nfproto ipv6 counter name c_v6 drop', 'IPv6 is not supported yet'),
        rule(
          'ip saddr 0.0.0.0 ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept',
          'DHCP client without an address',
        ),
        rule('fib saddr . iif oif missing counter name c_rpf drop', 'source is not behind this bridge'),
      ],
    },
    {
      name: 'forward',
      hook: { type: 'filter', hook: 'forward', priority: 0 },
      rules: [
        rule('iifname @bridges goto from_guest', 'sent by a guest'),
        rule('oifname @bridges goto to_guest', 'sent to a guest'),
        rule(
          'iifname @switched ct state new counter name c_transit drop',
          'we let this interface forward for guests only',
        ),
      ],
    },
    {
      name: 'from_guest',
      rules: [
        // First, because nearly everything is; an uplink is never a tenant's bridge.
        rule('oifname @uplinks goto to_uplink', 'to an uplink'),
        rule('iifname . oifname @intra goto same_tenant', 'same tenant'),
        rule('oifname @bridges counter name c_xtenant drop', 'another tenant'),
        rule('counter name c_notuplink drop', 'not an uplink: containers, VPNs, host networks'),
      ],
    },
    {
      name: 'to_uplink',
      rules: [
        rule('ct state invalid counter name c_invalid drop', 'no connection that makes sense'),
        rule('ip saddr @own_policy goto own_policy', "not the tenant's egress alone"),
        rule('iifname vmap @egress', "the tenant's egress"),
        rule('goto egress_none', 'no egress'),
      ],
    },
    {
      name: 'own_policy',
      rules: [
        // For a packet that is under way while a new profile appears, its chain is still empty, and comes back.
        rule('ip saddr vmap @guest_out', "the guest's own policy"),
        rule('counter name c_none drop', 'its policy is just being made'),
      ],
    },
    {
      name: 'same_tenant',
      rules: [
        // Bridged packets come by only with br_netfilter, routed ones only while the routing rules are gone.
        rule(
          'ip saddr @isolated4 counter name c_apart drop',
          'sent by an isolated instance to another',
          'isolate_instances',
        ),
        rule(
          'ip daddr @isolated4 counter name c_apart drop',
          'sent to an isolated instance by another',
          'isolate_instances',
          'receiver',
        ),
        rule('accept', 'instances of one tenant'),
      ],
    },
    {
      name: 'egress_internet',
      rules: [
        ANSWERS,
        rule('ip daddr @private4 counter name c_private drop', 'private or link-local destination', 'egress'),
        rule('goto egress_limits', 'a public destination', 'egress'),
      ],
    },
    { name: 'egress_open', rules: [ANSWERS, rule('goto egress_limits', 'any destination', 'egress')] },
    { name: 'egress_none', rules: [ANSWERS, rule('counter name c_none drop', 'no egress', 'egress')] },
    {
      name: 'egress_limits',
      rules: [
        // Not `ct state new`: one-way UDP stays new until an answer comes, and would be throttled as if it were many flows.
        rule('ct status & confirmed == confirmed accept', 'known connection'),
        rule(
          `add @vm_new { ip saddr limit rate over ${DEFAULT_LIMITS.newPerSecond}/second burst ${DEFAULT_LIMITS.newBurst} packets } counter name c_rate drop`,
          'too many new connections per second',
          'limits.new_connections_per_second',
        ),
        rule(
          `add @vm_conns { ip saddr ct count over ${DEFAULT_LIMITS.connections} } counter name c_conns drop`,
          'too many connections at a time',
          'limits.connections',
        ),
        rule('accept', 'within the limits'),
      ],
    },
    {
      name: 'to_guest',
      rules: [
        rule('meta nfproto ipv6 counter name c_v6 drop', 'IPv6 is not supported yet'),
        rule('ip daddr vmap @guest_in', 'how much this guest may get'),
        rule('ct direction reply ct state established,related accept', 'answer to a guest'),
        rule(
          'iifname @uplinks ct status dnat meta l4proto . ip daddr . th dport @published accept',
          'published port',
          'publish',
          'receiver',
        ),
        rule(
          'iifname @uplinks ct status dnat ct state related meta l4proto icmp accept',
          'error about an answer of a published port',
        ),
        rule('counter name c_unsolicited drop', 'nobody asked for it', 'publish', 'receiver'),
      ],
    },
    {
      name: 'input',
      hook: { type: 'filter', hook: 'input', priority: 0 },
      rules: [rule('iifname @bridges goto guest_input', 'sent by a guest to the host')],
    },
    {
      name: 'guest_input',
      rules: [
        rule('ct direction reply ct state established,related accept', 'answer to the host'),
        rule('udp sport 68 udp dport 67 accept', 'DHCP client'),
        rule('iifname . ip daddr != @gw counter name c_hostin drop', "not the guest's own gateway address"),
        rule(
          `icmp type echo-request add @vm_icmp { ip saddr limit rate over ${DEFAULT_LIMITS.pingsPerSecond}/second burst ${DEFAULT_LIMITS.pingBurst} packets } counter name c_ping drop`,
          'too many pings',
        ),
        rule('icmp type echo-request accept', 'ping to the gateway'),
        rule('counter name c_hostin drop', 'no service of the host is open to guests'),
      ],
    },
    {
      name: 'nat_pre',
      hook: { type: 'nat', hook: 'prerouting', priority: -100 },
      rules: [
        rule(
          'iifname @uplinks fib daddr type local dnat ip to meta l4proto . th dport map @publish',
          'published ports',
          'publish',
          'receiver',
        ),
      ],
    },
    {
      name: 'nat_post',
      hook: { type: 'nat', hook: 'postrouting', priority: 100 },
      rules: [
        rule(
          'ip saddr @pool4 oifname @uplinks masquerade fully-random',
          "guests leave under the host's address",
        ),
      ],
    },
  ],
};

/** Our tables, without elements. */
export const BASE_TABLES: readonly BaseTable[] = [BRIDGE_TABLE, INET_TABLE];
