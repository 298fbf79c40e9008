import { type BaseTable, rule } from './base-table.js';
import { DEFAULT_LIMITS, TENANT_LIMITS } from './limits.js';

/**
 * Never merely `established`, nor merely a reply: an entry of conntrack that is older than the rules must not keep a path
 * open, and a guest keeps one alive by sending.
 */
export const ANSWERS = rule(
  'ct direction reply ct state established meta l4proto . ip saddr . th sport @published accept',
  'answers of a published port',
);

/** What guests may send through the host and to it. */
export const INET_TABLE: BaseTable = {
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
    'c_port',
    'c_related',
    'c_tenant',
    'c_vmm',
  ],
  dynamicSets: {
    vm_new: 'type ipv4_addr; size 65535; flags dynamic,timeout; timeout 1m;',
    vm_conns: 'type ipv4_addr; size 65535; flags dynamic;',
    vm_icmp: 'type ipv4_addr; size 65535; flags dynamic,timeout; timeout 1m;',
    tenant_new: 'type ifname; size 65535; flags dynamic,timeout; timeout 1m;',
    tenant_conns: 'type ifname; size 65535; flags dynamic;',
  },
  timeouts: {
    guest_tcp: `protocol tcp; l3proto ip; policy = { time_wait : ${TENANT_LIMITS.closedSeconds}, close : ${TENANT_LIMITS.closedSeconds} };`,
  },
  chains: [
    {
      name: 'raw_pre',
      hook: { type: 'filter', hook: 'prerouting', priority: -300 },
      rules: [
        rule('iifname @bridges goto guest_raw', 'only what guests send is judged'),
        rule('iifname @ports counter name c_port drop', 'handed up by a port itself, past its bridge'),
      ],
    },
    {
      name: 'guest_raw',
      rules: [
        // Comes by only with br_netfilter, and would fill the table of all: every bridge of ours has such a MAC.
        rule(
          'ether daddr & ff:ff:00:00:ff:ff != 02:fc:00:00:00:01 notrack',
          'not for the gateway: stays within the tenant, and is not tracked',
        ),
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
        rule(
          'ct state related ip saddr . ct original ip saddr != @self ip saddr . ct reply ip saddr != @self counter name c_related drop',
          'error about a connection of somebody else',
        ),
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
        rule('goto tenant_limits', "within the guest's limits"),
      ],
    },
    {
      name: 'tenant_limits',
      rules: [
        rule(
          `add @tenant_new { iifname limit rate over ${TENANT_LIMITS.newPerSecond}/second burst ${TENANT_LIMITS.newBurst} packets } counter name c_tenant drop`,
          'too many new connections of the tenant per second',
        ),
        rule(
          `add @tenant_conns { iifname ct count over ${TENANT_LIMITS.connections} } counter name c_tenant drop`,
          'too many connections of the tenant at a time',
        ),
        rule('goto tracked', "within the tenant's limits"),
      ],
    },
    {
      name: 'tracked',
      rules: [
        rule('meta l4proto tcp ct timeout set "guest_tcp"', 'forgotten soon after it is closed'),
        rule('accept', 'within the limits'),
      ],
    },
    {
      name: 'to_published',
      rules: [
        rule('ct status & confirmed == confirmed accept', 'known connection'),
        rule(
          `add @tenant_new { oifname limit rate over ${TENANT_LIMITS.newPerSecond}/second burst ${TENANT_LIMITS.newBurst} packets } counter name c_tenant drop`,
          'too many new connections to the tenant per second',
        ),
        rule(
          `add @tenant_conns { oifname ct count over ${TENANT_LIMITS.connections} } counter name c_tenant drop`,
          'too many connections to the tenant at a time',
        ),
        rule('goto tracked', "within the tenant's limits"),
      ],
    },
    {
      name: 'to_guest',
      rules: [
        rule('meta nfproto ipv6 counter name c_v6 drop', 'IPv6 is not supported yet'),
        rule('ip daddr vmap @guest_in', 'how much this guest may get'),
        rule('ct direction reply ct state established,related accept', 'answer to a guest'),
        rule(
          'iifname @uplinks ct status dnat meta l4proto . ip daddr . th dport @published goto to_published',
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
        rule('ct direction reply ct state established accept', 'answer to the host'),
        rule(
          'ct direction reply ct state related ip saddr . ct reply ip saddr @self accept',
          "error about a connection of the host's to this guest",
        ),
        rule('ct state related counter name c_related drop', 'error about a connection of somebody else'),
        rule('ip daddr 255.255.255.255 udp sport 68 udp dport 67 accept', 'DHCP client without an address'),
        rule('iifname . ip daddr != @gw counter name c_hostin drop', "not the guest's own gateway address"),
        rule('udp sport 68 udp dport 67 accept', 'DHCP client'),
        rule(
          `icmp type echo-request add @vm_icmp { ip saddr limit rate over ${DEFAULT_LIMITS.pingsPerSecond}/second burst ${DEFAULT_LIMITS.pingBurst} packets } counter name c_ping drop`,
          'too many pings',
        ),
        rule('icmp type echo-request accept', 'ping to the gateway'),
        rule('counter name c_hostin drop', 'no service of the host is open to guests'),
      ],
    },
    {
      name: 'output',
      hook: { type: 'filter', hook: 'output', priority: 0 },
      rules: [
        rule('meta skuid @vmm_uids counter name c_vmm reject', 'sent by a VMM itself, not by its guest'),
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
