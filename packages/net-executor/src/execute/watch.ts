import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { type CodedError, toCodedError } from '@mvm/protocol';
import { execa } from 'execa';
import { TABLE_NAME } from '../base-tables/base-tables.js';
import { COMMAND_ENVIRONMENT } from '../command/command-runner.js';
import type { NetStep, NetworkChange } from '../types.js';

/** What a watch tells. */
export type NetworkWatchEvent =
  /** Something of ours was gone or changed, and these steps put it right. `by`: what made us look. */
  | { readonly kind: 'restored'; readonly steps: readonly NetStep[]; readonly by: 'event' | 'poll' }
  /** Looking or restoring failed; it is tried again at the next poll. */
  | { readonly kind: 'failed'; readonly error: CodedError }
  /** The kernel's events are not heard at the moment; polling goes on. */
  | { readonly kind: 'deaf'; readonly error: CodedError };

export interface NetworkWatch {
  /** Resolves when the kernel's events are heard for the first time, or are not for now. */
  readonly ready: Promise<void>;
  /** Ends the child and the poll; resolves when both are gone. May be repeated. */
  close(): Promise<void>;
}

interface WatchOptions {
  /** `reported`: what the kernel reported since the last look, line by line; empty at a poll. */
  readonly restore: (reported: readonly string[]) => Promise<NetworkChange>;
  readonly onEvent: (event: NetworkWatchEvent) => void;
}

const POLL_INTERVAL_MS = 10_000;
/** Events come in bursts; one look serves them all. */
const SETTLE_MS = 20;
const MAX_REPORTED = 1000;
const RESTART_DELAY_MS = 1_000;
// Our own deletions of elements come by as well and need no look.
const DAMAGE = new RegExp(
  `^(?:delete|destroy) (?:table|chain|rule|set|map|counter) (?:bridge|inet) ${TABLE_NAME}\\b`,
);

/** Of /proc/net/netlink, and of netlink(7). */
const NETLINK_NETFILTER = '12';
const SUBSCRIBE_TIMEOUT_MS = 1_000;

/**
 * Resolves when a process hears the kernel's events of netfilter: some milliseconds after it was started. Resolves after a
 * second in any case, for it may have ended, or /proc may not be ours to read.
 */
async function untilSubscribed(pid: number | undefined, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + SUBSCRIBE_TIMEOUT_MS;
  while (pid !== undefined && !signal.aborted && performance.now() < deadline) {
    const sockets = await readFile(`/proc/${pid}/net/netlink`, 'utf8').catch(() => '');
    const isThere = sockets.split('\n').some((line) => {
      const [, protocol, port, groups] = line.split(/\s+/);
      return (
        protocol === NETLINK_NETFILTER && port === String(pid) && Number.parseInt(groups ?? '0', 16) !== 0
      );
    });
    if (isThere) return;
    await delay(2);
  }
}

/**
 * Looks at the tables whenever the kernel reports that an object of theirs was destroyed (`nft monitor destroy`), and every
 * ten seconds in any case, and restores them. `onEvent` must not throw. Source: nft(8), "MONITOR".
 */
export function watchNetwork(options: WatchOptions): NetworkWatch {
  const stop = new AbortController();
  let looking: Promise<void> | null = null;
  let again = false;

  let reported: string[] = [];

  async function look(by: 'event' | 'poll'): Promise<void> {
    const lines = by === 'event' ? reported : [];
    reported = [];
    try {
      const { steps } = await options.restore(lines);
      if (steps.length > 0) options.onEvent({ kind: 'restored', steps, by });
    } catch (error) {
      options.onEvent({ kind: 'failed', error: toCodedError(error) });
    }
  }

  function request(by: 'event' | 'poll'): void {
    if (stop.signal.aborted) return;
    if (looking !== null) {
      again = true;
      return;
    }
    looking = delay(by === 'event' ? SETTLE_MS : 0)
      .then(() => look(by))
      .finally(() => {
        looking = null;
        if (again) {
          again = false;
          request('event');
        }
      });
  }

  let heard: () => void = () => undefined;
  const ready = new Promise<void>((resolve) => {
    heard = resolve;
  });

  async function listen(): Promise<void> {
    // PRIVILEGE: the kernel reports nftables' changes to CAP_NET_ADMIN only.
    // SAFETY: constant arguments.
    const child = execa('nft', ['monitor', 'destroy'], {
      stdin: 'ignore',
      env: COMMAND_ENVIRONMENT,
      extendEnv: false,
      reject: false,
      buffer: false,
      cancelSignal: stop.signal,
    });
    const subscribed = untilSubscribed(child.pid, stop.signal).then(() => {
      heard();
      // What happened before anybody listened is found here.
      request('poll');
    });
    for await (const line of child.iterable()) {
      if (!DAMAGE.test(line.trim())) continue;
      // Too many changes are looked at as a whole.
      if (reported.length === MAX_REPORTED) reported = [''];
      else reported.push(line);
      request('event');
    }
    const result = await child;
    await subscribed;
    if (!stop.signal.aborted) {
      const error = toCodedError(new Error(`nft monitor ended: ${result.shortMessage ?? 'unexpectedly'}`));
      options.onEvent({ kind: 'deaf', error });
    }
  }

  async function keepListening(): Promise<void> {
    while (!stop.signal.aborted) {
      await listen().catch((error: unknown) => {
        if (!stop.signal.aborted) options.onEvent({ kind: 'deaf', error: toCodedError(error) });
      });
      heard();
      await delay(RESTART_DELAY_MS, undefined, { signal: stop.signal }).catch(() => undefined);
    }
  }

  const poll = setInterval(() => request('poll'), POLL_INTERVAL_MS);
  poll.unref();
  const listening = keepListening();

  return {
    ready,
    async close() {
      clearInterval(poll);
      stop.abort();
      await listening;
      await looking;
    },
  };
}
