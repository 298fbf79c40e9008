import { type BaseTable, rule } from './base-table.js';

/** What a TAP may send to its bridge and get from it. */
export const BRIDGE_TABLE: BaseTable = {
  family: 'bridge',
  counters: ['c_mac', 'c_arp', 'c_ip', 'c_l2', 'c_dhcpsrv', 'c_isolated', 'c_linklocal', 'c_foreign'],
  dynamicSets: {},
  timeouts: {},
  chains: [
    {
      name: 'pre',
      hook: { type: 'filter', hook: 'prerouting', priority: -300 },
      rules: [rule('iifname @taps goto guard', 'only what our TAPs send is judged')],
    },
    {
      name: 'guard',
      rules: [
        rule(
          'ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00 counter name c_linklocal drop',
          'to the group of bridges: STP, LACP, 802.1X, LLDP',
        ),
        // Early, because nearly everything is: its MAC and address are one look.
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
        rule('udp dport 68 counter name c_dhcpsrv drop', 'to a DHCP client: rogue DHCP server'),
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
    {
      name: 'post',
      hook: { type: 'filter', hook: 'postrouting', priority: 300 },
      rules: [rule('oifname @taps goto deliver', 'only what our TAPs get is judged')],
    },
    {
      name: 'deliver',
      rules: [
        rule('oifname . ether daddr @port_mac accept', 'for the MAC of this port'),
        rule('ether daddr & 01:00:00:00:00:00 == 01:00:00:00:00:00 accept', 'for all, or for a group'),
        rule('counter name c_foreign drop', 'for a MAC that is not behind this port'),
      ],
    },
  ],
};
