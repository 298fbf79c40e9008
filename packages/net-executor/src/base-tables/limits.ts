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

/**
 * Per tenant, by its bridge: all its guests together, and what comes in by its published ports. One guest's own limits
 * (`limits` of its policy) go beyond where they are larger.
 */
export const TENANT_LIMITS = {
  newPerSecond: 500,
  newBurst: 2000,
  /** Tracked connections at a time. */
  connections: 8192,
  /** How long a closed TCP connection is remembered; the kernel's own default is 120. */
  closedSeconds: 10,
} as const;

/**
 * Entries of the kernel's connection tracking that a tenant can hold with these limits: those that are open, those that
 * closed in the time that they are remembered, and pings of its own gateway aside.
 */
export const MAX_TRACKED_PER_TENANT =
  TENANT_LIMITS.connections +
  TENANT_LIMITS.newBurst +
  TENANT_LIMITS.newPerSecond * TENANT_LIMITS.closedSeconds;

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
