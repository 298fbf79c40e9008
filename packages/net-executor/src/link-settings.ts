import { parseTapName } from '@mvm/protocol/names';

/** Settings of a link by name, as `ip` writes them on its command line: `off`, `0xfffd`, `1500`. */
export type LinkSettings = Readonly<Record<string, string>>;

/** Of every link of ours. A TAP never speaks ARP itself: its bridge does. Source: ip-link(8). */
const COMMON = { mtu: '1500' } as const;

/**
 * Of a tenant's bridge. `no_linklocal_learn`: the sender of a frame to 01:80:c2:00:00:0X is not learned.
 * Source: ip-link(8), "BRIDGE Type Support".
 */
export const BRIDGE_SETTINGS = {
  forward_delay: '0',
  stp_state: '0',
  mcast_snooping: '0',
  no_linklocal_learn: '1',
  group_fwd_mask: '0',
} as const;

/** Of a TAP and of a bridge, beside what belongs to their kinds. */
export const TAP_LINK_SETTINGS = { ...COMMON, arp: 'off' } as const;
export const BRIDGE_LINK_SETTINGS = { ...COMMON, arp: 'on' } as const;

/**
 * Of a TAP as a port. Nothing is learned, for each port has one static entry: its guest's MAC. What is for an unknown MAC
 * goes to no guest (`flood`). `group_fwd_mask`: a bridge hands frames to 01:80:c2:00:00:00…0f to the host past its
 * prerouting hook, with the TAP as the incoming device; those that it forwards meet the guard as all others do. Bit 1 is
 * refused by the kernel, which drops PAUSE frames itself. Source: bridge(8), net/bridge/br_input.c.
 */
export const PORT_SETTINGS = {
  learning: 'off',
  flood: 'off',
  mcast_flood: 'on',
  bcast_flood: 'on',
  hairpin: 'off',
  isolated: 'off',
  group_fwd_mask: '0xfffd',
} as const;

/** What the kernel gives a port that has just joined a bridge. */
export const FRESH_PORT_SETTINGS: LinkSettings = {
  learning: 'on',
  flood: 'on',
  mcast_flood: 'on',
  bcast_flood: 'on',
  hairpin: 'off',
  isolated: 'off',
  group_fwd_mask: '0',
};

/**
 * The MAC of a TAP itself, which no frame ever bears: `fe:fc:<net id>:<offset>`. A TAP with a guest's MAC would take that
 * guest's frames to the host. Throws for a name that is no TAP's.
 */
export function tapMac(tapName: string): string {
  const parsed = parseTapName(tapName);
  if (parsed === null) throw new Error(`${tapName} is no name of a TAP`);
  const hex = (value: number) => value.toString(16).padStart(4, '0');
  const digits = `fefc${hex(parsed.netId)}${hex(parsed.ipOffset)}`;
  return (digits.match(/../g) ?? []).join(':');
}

/** The settings that differ from what is wanted, with what is wanted; null when none does. */
export function differing(desired: LinkSettings, found: LinkSettings): LinkSettings | null {
  const entries = Object.entries(desired).filter(([name, value]) => found[name] !== value);
  return entries.length === 0 ? null : Object.fromEntries(entries);
}
