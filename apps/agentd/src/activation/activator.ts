import { createServer, type Server, type Socket } from 'node:net';
import { type Problem, toApiError } from '@mvm/agentd-api';
import { type InstanceView, toCodedError } from '@mvm/protocol';
import type { DesiredState } from '@mvm/protocol/state';
import type { Logger } from 'pino';
import type { ObservedHost } from '../reconcile/types.js';
import { connectGuest, relay } from './relay.js';
import { type ActivationTarget, activationTargets, targetName } from './targets.js';
import { createWaker, type WakerOptions } from './wake.js';

// INVARIANTS
// - A port is listened on only while hostd publishes it. What comes in for an instance that runs never gets here: the
//   kernel passes it on before it looks for a listener.
// - Nothing of a connection is read before its guest is connected; then at most two buffers of it are held.

/** Connections that wait or are passed on at the same time: of one pool, and in all. One more is closed at once. */
const MAX_PER_POOL = 256;
const MAX_CONNECTIONS = 1024;

/** Takes connections to published ports of sleeping pools, and has an instance woken for them. */
export interface Activator {
  /** Listen on what is to be listened on now; resolves once ports that are given up are free. */
  sync(desired: DesiredState, observed: ObservedHost): Promise<void>;
  /** Ports that cannot be listened on. */
  problems(): Problem[];
  close(): Promise<void>;
}

interface Listener {
  readonly target: ActivationTarget;
  readonly server: Server;
  problem: Problem | null;
}

export function createActivator(
  options: Omit<WakerOptions, 'signal'> & { readonly logger: Logger },
): Activator {
  const { decisions, logger, now } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  const waker = createWaker({ ...options, signal });
  const listeners = new Map<string, Listener>();
  const open = new Map<Socket, string>();

  function countOf(name: string): number {
    return [...open.values()].filter((other) => other === name).length;
  }

  async function serve(client: Socket, target: ActivationTarget): Promise<void> {
    const name = targetName(target);
    client.on('error', () => {});
    if (signal.aborted || open.size >= MAX_CONNECTIONS || countOf(name) >= MAX_PER_POOL) {
      client.destroy();
      return;
    }
    open.set(client, name);
    client.once('close', () => open.delete(client));
    const from = `${client.remoteAddress ?? 'unknown'}:${client.remotePort ?? 0}`;
    try {
      const view = await waker.wake(target, from);
      if (client.destroyed) return;
      const guest = await reach(view, target, from);
      relay(client, guest);
    } catch (error) {
      const { code, reason, message } = toCodedError(error);
      if (!signal.aborted) {
        logger.warn(
          { target: name, port: target.hostPort, code, reason, message },
          'a connection was refused',
        );
      }
      refuse(client);
    }
  }

  /** Connects to the guest; that it cannot be reached is recorded once until something else happens to the instance. */
  async function reach(view: InstanceView, target: ActivationTarget, from: string): Promise<Socket> {
    const startedAtMs = now();
    try {
      return await connectGuest(view.net?.guest_ip ?? '', target.guestPort, signal);
    } catch (error) {
      if (!signal.aborted && decisions.of(view)[0]?.action !== 'connect') {
        decisions.add(view, {
          at: new Date(startedAtMs).toISOString(),
          source: 'connection',
          action: 'connect',
          reason: `a connection to TCP port ${target.hostPort} from ${from}`,
          rule: null,
          request: null,
          steps: [],
          duration_ms: Math.round(now() - startedAtMs),
          error: toApiError(error),
        });
      }
      throw error;
    }
  }

  function listen(target: ActivationTarget): Promise<void> {
    const { hostPort } = target;
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true, noDelay: true }, (client) => {
      void serve(client, target);
    });
    const listener: Listener = { target, server, problem: null };
    listeners.set(keyOf(target), listener);
    return new Promise((resolve) => {
      server.on('error', (error: NodeJS.ErrnoException) => {
        listener.problem = cannotListen(target, error.code ?? error.message);
        logger.warn(
          { port: hostPort, errno: error.code },
          'cannot listen for connections to a pool that sleeps',
        );
        resolve();
      });
      server.listen({ host: '0.0.0.0', port: hostPort }, resolve);
    });
  }

  async function stopListening(key: string, { server }: Listener): Promise<void> {
    listeners.delete(key);
    // Connections that were taken go on; `close` would wait for them.
    const closed = new Promise<void>((resolve) => {
      if (!server.listening) resolve();
      else setImmediate(resolve);
    });
    server.close();
    await closed;
  }

  return {
    async sync(desired, { tenants }) {
      if (signal.aborted) return;
      const wanted = new Map(
        activationTargets(desired, tenants).map((target) => [keyOf(target), target] as const),
      );
      for (const [key, listener] of listeners) {
        // One that failed is tried again.
        if (!wanted.has(key) || listener.problem !== null) await stopListening(key, listener);
      }
      for (const [key, target] of wanted) if (!listeners.has(key)) await listen(target);
    },
    problems: () => [...listeners.values()].flatMap(({ problem }) => problem ?? []),
    async close() {
      stopping.abort();
      for (const [key, listener] of listeners) await stopListening(key, listener);
      for (const client of open.keys()) client.destroy();
    },
  };
}

function keyOf(target: ActivationTarget): string {
  return `${target.hostPort} ${target.guestPort} ${targetName(target)}`;
}

/** The peer sees the end of the connection: what it sent is thrown away. */
function refuse(client: Socket): void {
  client.resume();
  client.end();
  setTimeout(() => client.destroy(), REFUSED_FOR_MS).unref();
}

/** How long a peer that was refused may take to close its end. */
const REFUSED_FOR_MS = 1000;

function cannotListen({ tenantId, poolId, hostPort }: ActivationTarget, errno: string): Problem {
  const why: Readonly<Record<string, string>> = {
    EADDRINUSE: 'another program of the host listens there',
    EACCES: 'a port below net.ipv4.ip_unprivileged_port_start needs a privilege that agentd does not have',
    EAFNOSUPPORT: 'its systemd unit lets agentd use Unix sockets only; see docs/scale-to-zero.md',
  };
  return {
    kind: 'blocked',
    reason: 'activation.listen_failed',
    message: `connections to TCP port ${hostPort} do not wake ${tenantId}/${poolId}: ${errno}, ${why[errno] ?? 'agentd cannot listen there'}`,
    tenant_id: tenantId,
    pool_id: poolId,
    instance_id: null,
    until: null,
  };
}
