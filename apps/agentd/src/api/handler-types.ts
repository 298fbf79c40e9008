import type { Socket } from 'node:net';
import type { RouteName, RouteResponse, routes } from '@mvm/agentd-api';
import type { HostdClient } from '@mvm/hostd-client';
import type { PeerCredentials } from '@mvm/unix-peer';
import type { z } from 'zod';
import type { DesiredSource } from '../desired/desired-source.js';
import type { Metrics } from '../metrics/metrics.js';
import type { NetworkCheck } from '../network/network-check.js';
import type { Reconciler } from '../reconcile/loop.js';
import type { DecisionLog } from '../state/decision-log.js';
import type { HoldStore } from '../state/hold-store.js';
import type { OpenStreams } from './open-streams.js';

/** What the handlers work with; made once, in the composition root. */
export interface ApiContext {
  readonly client: HostdClient;
  readonly hostdSocket: string;
  readonly reconciler: Reconciler;
  readonly desired: DesiredSource;
  readonly holds: HoldStore;
  readonly decisions: DecisionLog;
  readonly streams: OpenStreams;
  /** What the configuration lists as pinned and critical. */
  readonly overrides: { readonly pinned: readonly string[]; readonly critical: readonly string[] };
  readonly metrics: Metrics;
  readonly network: NetworkCheck;
  readonly now: () => number;
  readonly version: string;
  readonly startedAt: string;
  /** Who is at the other end of a connection. Throws `permission_denied` when that cannot be told. */
  readonly readPeer: (socket: Socket) => PeerCredentials;
  /** Throws `permission_denied` unless the peer may send a request with this HTTP method. */
  readonly checkAccess: (peer: PeerCredentials, method: string) => void;
  /** For operations on instances that are asked for over the API. */
  readonly actionTimeoutMs: number;
}

/** A request of route `N`, each part checked and decoded by the route's schemas. */
export interface HandlerInput<N extends RouteName> {
  readonly params: z.output<(typeof routes)[N]['params']>;
  readonly query: z.output<(typeof routes)[N]['query']>;
  readonly body: (typeof routes)[N]['body'] extends z.ZodType
    ? z.output<(typeof routes)[N]['body']>
    : undefined;
}

/** One handler per route: a route without one does not compile. Failures are thrown as CodedError. */
export type Handlers<Names extends RouteName = RouteName> = {
  readonly [N in Names]: (input: HandlerInput<N>, caller: PeerCredentials) => Promise<RouteResponse<N>>;
};
