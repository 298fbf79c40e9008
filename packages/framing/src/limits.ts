/**
 * Every cap of this package and its default. Each can be overridden where it applies; none can be switched off.
 * A frame's maximum and the half-closing exchange are the contract's; the rest is ours. Source: docs/protocol.md.
 */
export const DEFAULT_LIMITS = {
  /** Largest frame body, bytes, in both directions. Checked before anything is allocated. */
  maxFrameBytes: 1_048_576,
  /** Connections that a server has at a time; one more is closed at once. */
  maxConnections: 4096,
  /** Connections that the kernel queues until the server accepts them; also capped by net.core.somaxconn. */
  listenBacklog: 4096,
  /** From a connection's acceptance to the first byte of its first frame. */
  firstByteTimeoutMs: 10_000,
  /** From a frame's first byte to its last. */
  frameTimeoutMs: 10_000,
  /** Between two frames, while the handler waits for the next and holds nothing open. */
  idleTimeoutMs: 300_000,
  /** For the peer to take what was written. Then the connection is destroyed. */
  writeTimeoutMs: 30_000,
  /** Bytes that wait to be written on one connection; a single frame is always taken when nothing waits. */
  maxWriteQueueBytes: 8_388_608,
  /** After the last answer: for the peer to close its side, while what it still sends is thrown away. */
  lingerTimeoutMs: 1_000,
  /** Bytes thrown away on one connection after the last frame that was wanted; then it is read no further. */
  maxDiscardBytes: 4_194_304,
  /** For in-flight answers, when a server closes; then connections are destroyed. */
  closeTimeoutMs: 10_000,
  /** Client: until the server has accepted. */
  connectTimeoutMs: 5_000,
  /** Client: from a request's first byte to its answer's last. Starting a VM without KVM takes its time. */
  responseTimeoutMs: 120_000,
} as const satisfies FrameLimits;

/** The caps of {@link DEFAULT_LIMITS}: times in milliseconds, sizes in bytes, all positive integers. */
export interface FrameLimits {
  readonly maxFrameBytes: number;
  readonly maxConnections: number;
  readonly listenBacklog: number;
  readonly firstByteTimeoutMs: number;
  readonly frameTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly writeTimeoutMs: number;
  readonly maxWriteQueueBytes: number;
  readonly lingerTimeoutMs: number;
  readonly maxDiscardBytes: number;
  readonly closeTimeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly responseTimeoutMs: number;
}

/** The largest length that 4 bytes can tell. */
const MAX_LENGTH = 0xffff_ffff;

/**
 * The defaults with some replaced; an absent or undefined entry keeps its default.
 * Throws a RangeError for a limit that is not a positive integer of at most 2^32−1: a bug in the caller.
 */
export function resolveLimits(
  overrides: { readonly [K in keyof FrameLimits]?: FrameLimits[K] | undefined } = {},
): FrameLimits {
  const limits: Record<keyof FrameLimits, number> = { ...DEFAULT_LIMITS };
  for (const name of Object.keys(DEFAULT_LIMITS) as (keyof FrameLimits)[]) {
    const value = overrides[name] ?? DEFAULT_LIMITS[name];
    if (!Number.isInteger(value) || value < 1 || value > MAX_LENGTH) {
      throw new RangeError(`limit ${name} must be a positive integer of at most ${MAX_LENGTH}, not ${value}`);
    }
    limits[name] = value;
  }
  return limits;
}
