/** What a drop counter counts, for a person who wonders where packets went. */
export interface DropMeaning {
  /** Ends the sentence "the packet …". */
  readonly meaning: string;
  /** What to look at. */
  readonly advice: string;
}

/** By counter, one for each of the base tables. Shown by `mvm net drops`; told at length in docs/networking.md. */
export const DROP_MEANINGS: Readonly<Record<string, DropMeaning>> = {
  c_mac: {
    meaning: 'did not bear the MAC of its port',
    advice: 'the guest must use the MAC that mvm instance info shows; bridges and VMs inside it cannot',
  },
  c_arp: {
    meaning: 'was an ARP message that claims an address of somebody else',
    advice: 'the guest must use the address that mvm instance info shows',
  },
  c_ip: {
    meaning: 'did not bear the address of its port',
    advice: 'the guest must send from the address that mvm instance info shows; NAT or containers inside it?',
  },
  c_dhcpsrv: {
    meaning: 'was an answer of a DHCP server',
    advice: 'guests may not serve DHCP; addresses are fixed',
  },
  c_l2: {
    meaning: 'was neither ARP nor IPv4: IPv6, a VLAN tag, LLDP',
    advice: 'harmless when it is IPv6 of an idle guest; nothing but IPv4 and ARP passes',
  },
  c_linklocal: {
    meaning: 'was for the group of bridges (01:80:c2:00:00:0X): STP, LACP, 802.1X, LLDP',
    advice: 'a guest has no part in these protocols; an LLDP daemon or a bridge inside it is harmless',
  },
  c_foreign: {
    meaning: 'was for a MAC that is not behind the port that it was flooded to',
    advice: 'mvm net verify: the bridge should flood nothing; is an entry of its forwarding table missing?',
  },
  c_port: {
    meaning: 'was handed to the host by a TAP itself, past its bridge',
    advice: 'mvm net verify: is the TAP a port of its bridge, with the settings that are recorded?',
  },
  c_related: {
    meaning: 'was an error message about a connection of somebody else',
    advice: 'a guest may report errors about its own connections only; this one tries to disturb others',
  },
  c_tenant: {
    meaning: 'opened one connection too many for its tenant, or to it by a published port',
    advice: 'all guests of a tenant together hold, or open, more than the limit of a tenant',
  },
  c_vmm: {
    meaning: 'was sent by the process of a VMM itself, not by its guest',
    advice: 'no VMM has reason to: look at the instance whose uid it is (ps), and take it for hostile',
  },
  c_v6: { meaning: 'was IPv6', advice: 'IPv6 is not supported yet; use IPv4' },
  c_rpf: {
    meaning: 'came from an address that is not behind its bridge',
    advice: 'mvm net verify: is the address of the bridge as recorded?',
  },
  c_xtenant: {
    meaning: 'was for another tenant',
    advice: 'tenants do not reach each other; publish a port and go by the host’s address from outside',
  },
  c_notuplink: {
    meaning: 'was for an interface that is no uplink: containers, VPNs',
    advice: 'if guests should leave through that interface, name it to hostd (--uplink)',
  },
  c_private: {
    meaning: 'was for a private or link-local address',
    advice: 'egress internet reaches public addresses only; the tenant’s policy decides',
  },
  c_rate: {
    meaning: 'opened one connection too many per second',
    advice: 'the guest opens connections faster than its limit; answers to known connections still pass',
  },
  c_conns: {
    meaning: 'opened one connection too many at a time',
    advice: 'the guest holds as many connections as its limit allows; close some',
  },
  c_none: { meaning: 'was of a tenant without egress', advice: 'the tenant’s policy gives it no egress' },
  c_hostin: {
    meaning: 'was for the host, and not a ping to its own gateway',
    advice: 'no service of the host is open to guests',
  },
  c_unsolicited: {
    meaning: 'came from outside for a guest, and nobody had asked for it',
    advice: 'publish the port if it should be reached',
  },
  c_transit: {
    meaning: 'was not for a guest, on an uplink that forwards for guests only',
    advice: 'if this host should route for others, turn its own forwarding on: sysctl net.ipv4.ip_forward=1',
  },
  c_invalid: {
    meaning: 'belongs to no connection that makes sense',
    advice: 'usually the end of a connection that was forgotten; many of them: is the way back another one?',
  },
  c_isolated: {
    meaning: 'was for, or of, an instance that is kept from the others of its tenant',
    advice:
      'isolate_instances of the tenant’s or the pool’s network policy; publish a port to go by the host',
  },
  c_apart: {
    meaning: 'was for, or of, an isolated instance, and was passed to the host’s own filter',
    advice: 'as c_isolated; the host has br_netfilter, or the routing rules of mvm are gone (mvm net verify)',
  },
  c_denied: {
    meaning: 'was for a destination that the policy denies',
    advice: 'deny of the tenant’s or the pool’s network policy',
  },
  c_bandwidth: {
    meaning: 'was above the guest’s bandwidth',
    advice: 'limits.bandwidth_kbit of its network policy; TCP slows down by itself, a few drops are normal',
  },
  c_packets: {
    meaning: 'was above the guest’s packets per second',
    advice: 'limits.packets_per_second of its network policy',
  },
  c_ping: { meaning: 'was one ping to the gateway too many', advice: 'ping less often' },
};
