/** Every cap of the client and its default; the frames' own are in @mvm/framing. */
export const DEFAULT_CLIENT_LIMITS = {
  /** For hostd to accept the connection, and again for its Welcome. */
  connectTimeoutMs: 5_000,
  /** From the call of `request` to its answer. Starting a VM without KVM takes its time. */
  requestTimeoutMs: 120_000,
  /** Requests sent and not answered; more wait in order. */
  maxInFlight: 64,
  /** Requests that wait to be sent; more are refused. */
  maxQueued: 1024,
  /** How long a connection without requests is kept; less than hostd's, so that hostd never closes it in our face. */
  idleTimeoutMs: 60_000,
  /** How long a hostd that spoke version 1 is taken to speak no other; it may be replaced at any time. */
  version1MemoryMs: 10_000,
} as const satisfies HostdClientLimits;

/** The caps of {@link DEFAULT_CLIENT_LIMITS}: times in milliseconds, all positive. */
export interface HostdClientLimits {
  readonly connectTimeoutMs: number;
  readonly requestTimeoutMs: number;
  readonly maxInFlight: number;
  readonly maxQueued: number;
  readonly idleTimeoutMs: number;
  readonly version1MemoryMs: number;
}
