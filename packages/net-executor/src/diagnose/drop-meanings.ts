/** What a drop counter counts, for a person who looks for dropped packets. */
export interface DropMeaning {
  /** Ends the sentence "the packet …". */
  readonly meaning: string;
  /** What to look at. */
  readonly advice: string;
}

/** By counter, one for each of the base tables. Shown by `mvm net drops`; explained in docs/networking.md. */
export const DROP_MEANINGS: Readonly<Record<string, DropMeaning>> = {
  c_mac: {
    meaning: 'had another source MAC than its port’s',
    advice:
      'the guest must use the MAC that mvm instance info shows; bridges and VMs inside the guest cannot send',
  },
  c_arp: {
    meaning: 'was an ARP message that claims another address than its port’s',
    advice: 'the guest must use the address that mvm instance info shows',
  },
  c_ip: {
    meaning: 'had another source address than its port’s',
    advice: 'the guest must send from the address that mvm instance info shows; NAT or containers inside it?',
  },
  c_dhcpsrv: {
    meaning: 'was an answer of a DHCP server',
    advice: 'guests must not serve DHCP; addresses are fixed',
  },
  c_l2: {
    meaning: 'was neither ARP nor IPv4: IPv6, a VLAN tag, LLDP',
    advice: 'harmless when it is IPv6 of an idle guest; nothing but IPv4 and ARP passes',
  },
  c_linklocal: {
    meaning: 'was for a link-local group address (01:80:c2:00:00:0X): STP, LACP, 802.1X, LLDP',
    advice: 'guests cannot use these protocols; an LLDP daemon or a bridge inside the guest is harmless',
  },
  c_foreign: {
    meaning: 'was flooded to a port whose guest has another MAC',
    advice: 'mvm net verify: the bridge should not flood; is an entry of its forwarding table missing?',
  },
  c_port: {
    meaning: 'was passed to the host by the TAP itself, not through its bridge',
    advice: 'mvm net verify: is the TAP a port of its bridge, with the recorded settings?',
  },
  c_related: {
    meaning: 'was an ICMP error about a connection of another guest',
    advice: 'guests may report errors about their own connections only; this one may try to disturb others',
  },
  c_tenant: {
    meaning: 'would have opened a connection above the limit of the whole tenant',
    advice: 'all guests and published ports of the tenant together reach its limit; close connections',
  },
  c_vmm: {
    meaning: 'was sent by a VMM process itself, not by its guest',
    advice: 'a VMM never does this: find the instance by its uid (ps), and treat it as hostile',
  },
  c_v6: { meaning: 'was IPv6', advice: 'IPv6 is not supported yet; use IPv4' },
  c_rpf: {
    meaning: 'came from an address that is not behind its bridge',
    advice: 'mvm net verify: does the bridge have its recorded address?',
  },
  c_xtenant: {
    meaning: 'was for another tenant',
    advice: 'tenants cannot reach each other; publish a port and use the host’s address',
  },
  c_notuplink: {
    meaning: 'was for an interface that is no uplink: containers, VPNs',
    advice: 'if guests should leave through that interface, add it to --uplink of hostd',
  },
  c_private: {
    meaning: 'was for a private or link-local address',
    advice: 'egress internet reaches public addresses only; the tenant’s policy decides',
  },
  c_rate: {
    meaning: 'would have opened a connection above the guest’s limit per second',
    advice: 'limits.new_connections_per_second of its network policy; known connections still work',
  },
  c_conns: {
    meaning: 'would have opened a connection above the guest’s limit at a time',
    advice: 'limits.connections of its network policy; close some connections in the guest',
  },
  c_none: { meaning: 'came from a guest without egress', advice: 'egress of its network policy is none' },
  c_hostin: {
    meaning: 'was for the host, and not a ping to the guest’s own gateway',
    advice: 'no service of the host is open to guests',
  },
  c_unsolicited: {
    meaning: 'came from outside for a guest, and is no answer and not for a published port',
    advice: 'publish the port if the outside should reach it',
  },
  c_transit: {
    meaning: 'was not for a guest, on an uplink that forwards only for guests',
    advice: 'if this host should route for others, enable its own forwarding: sysctl net.ipv4.ip_forward=1',
  },
  c_invalid: {
    meaning: 'does not fit any known connection',
    advice:
      'usually the end of a connection that is no longer tracked; if many: do answers take another route?',
  },
  c_isolated: {
    meaning: 'was for, or from, an isolated instance of the same tenant',
    advice: 'isolate_instances of its network policy; publish a port and use the host’s address',
  },
  c_apart: {
    meaning: 'was for, or from, an isolated instance, and was passed to the host’s own filter',
    advice: 'see c_isolated; the host uses br_netfilter, or mvm’s routing rules are missing (mvm net verify)',
  },
  c_denied: {
    meaning: 'was for a destination that the policy denies',
    advice: 'deny of the tenant’s or the pool’s network policy',
  },
  c_bandwidth: {
    meaning: 'was above the guest’s bandwidth',
    advice:
      'limits.bandwidth_kbit of its network policy; TCP slows down by itself, so a few drops are normal',
  },
  c_packets: {
    meaning: 'was above the guest’s packets per second',
    advice: 'limits.packets_per_second of its network policy',
  },
  c_ping: { meaning: 'was a ping to the gateway above the limit', advice: 'ping less often' },
};
