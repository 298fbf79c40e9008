import type { PeerCredentials } from '@mvm/unix-peer';
import type { Logger } from 'pino';

/** What accompanies one operation from the request to the audit line. */
export interface OperationContext {
  /** Unique, for logs, journal and audit. */
  readonly opId: string;
  /** Who asked; null when hostd acts by itself. */
  readonly peer: PeerCredentials | null;
  readonly logger: Logger;
  /** How it went, in names and values for the audit line; added to while it runs. Never a secret. */
  readonly auditDetails: Map<string, string | number>;
}

/** Time and randomness, given to planners from outside. */
export interface Clock {
  /** RFC 3339, UTC, milliseconds. */
  now(): string;
}

export const systemClock: Clock = { now: () => new Date().toISOString() };
