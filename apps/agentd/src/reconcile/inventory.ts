import type { Hold } from '@mvm/agentd-api';
import type { ImageView, InstanceView } from '@mvm/protocol';
import type { DesiredPool } from '@mvm/protocol/state';
import { leadsTo } from './leads-to.js';
import type { QuotaReservations } from './quota-reservations.js';
import { restartVerdict } from './restart.js';
import type { PlanContext } from './types.js';

/** One desired pool and everything that its instances' plan depends on. */
export interface PoolInput {
  readonly tenantId: string;
  readonly pool: DesiredPool;
  /** The pool's instances on the host; none is destroyed. */
  readonly instances: readonly InstanceView[];
  readonly images: readonly ImageView[];
  readonly holds: readonly Hold[];
  /** Addresses of instances whose guest's agent is there. */
  readonly connectedAgents: readonly string[];
  readonly reservations: QuotaReservations;
  /** Nothing may be stopped: `pinned` or `critical`, or null. */
  readonly protection: 'pinned' | 'critical' | null;
  readonly urgency: number;
}

/**
 * A pool's instances by what they are, or will be when the operation under way has ended. Each is in exactly one list.
 */
export interface PoolInventory {
  /** Left alone, whatever they are: an operator has stopped, warmed or put them to sleep. */
  readonly held: readonly InstanceView[];
  /** Left running: an operator has started, woken or resumed them. */
  readonly keptRunning: readonly InstanceView[];
  readonly running: readonly InstanceView[];
  /** In the order in which they are removed: another image than the pool's first, then the one that is so the longest. */
  readonly warm: readonly InstanceView[];
  /** As `warm`; those that can be woken as far as anybody knows. */
  readonly sleeping: readonly InstanceView[];
  /** Asleep, and the last wake could not use the snapshot. */
  readonly failed: readonly InstanceView[];
  /** Stopped, and left alone: its guest has ended by itself, and the pool says that it is not to be started again. */
  readonly ended: readonly InstanceView[];
  /** Everything else: to be started, or on its way there, or being destroyed. Oldest first. */
  readonly idle: readonly InstanceView[];
}

/** `tenant/pool/instance`. */
export function addressOf(view: Pick<InstanceView, 'tenant_id' | 'pool_id' | 'instance_id'>): string {
  return `${view.tenant_id}/${view.pool_id}/${view.instance_id}`;
}

/** Since when it is in its state, milliseconds since 1970; 0 when that is not known. */
export function sinceMs(view: InstanceView): number {
  const since = view.status_since ?? view.last_started_at;
  return since === null ? 0 : Date.parse(since);
}

/** The hold of an instance that has not ended. */
export function holdOf(view: InstanceView, holds: readonly Hold[], nowMs: number): Hold | undefined {
  return holds.find(
    (hold) =>
      hold.instance_id === view.instance_id &&
      hold.pool_id === view.pool_id &&
      hold.tenant_id === view.tenant_id &&
      Date.parse(hold.until) > nowMs,
  );
}

/** The image that the pool's `flake_ref` names, `name` or `name@sha256:…`; undefined when it is not registered. */
export function imageOf({
  pool,
  images,
}: {
  readonly pool: { readonly flake_ref: string };
  readonly images: readonly ImageView[];
}): ImageView | undefined {
  const [name, digest] = pool.flake_ref.split('@', 2);
  return images.find((entry) => entry.name === name && (digest === undefined || entry.digest === digest));
}

/** `sha256:` and the first twelve digits, as `mvm image list` shows it. */
export function shortDigest(digest: string): string {
  return digest.slice(0, 19);
}

/** Whether it holds the memory of another image than its pool's. */
export function isOutdated(view: InstanceView, image: ImageView | undefined): boolean {
  return image !== undefined && view.image !== null && view.image.digest !== image.digest;
}

/** Sort a pool's instances. */
export function takeInventory(
  input: PoolInput,
  { nowMs, failures }: Pick<PlanContext, 'nowMs' | 'failures'>,
): PoolInventory {
  const image = imageOf(input);
  const inventory = {
    held: [],
    keptRunning: [],
    running: [],
    warm: [],
    sleeping: [],
    failed: [],
    ended: [],
    idle: [],
  } as {
    [list in keyof PoolInventory]: InstanceView[];
  };
  for (const view of input.instances) {
    const status = leadsTo(view);
    const hold = holdOf(view, input.holds, nowMs)?.kind;
    if (status === 'running' && hold === 'manual_run') inventory.keptRunning.push(view);
    else if (status === 'running') inventory.running.push(view);
    // One that was to be kept running and does not run has lost what the hold was for.
    else if (hold !== undefined && hold !== 'manual_run') inventory.held.push(view);
    else if (status === 'warm') inventory.warm.push(view);
    else if (restartVerdict(view, input.pool, failures).kind !== 'start') inventory.ended.push(view);
    else if (status !== 'sleeping') inventory.idle.push(view);
    else if (view.operation === null && view.stop_reason?.kind === 'wake_failed') inventory.failed.push(view);
    else inventory.sleeping.push(view);
  }
  const inOrderOfRemoval = (a: InstanceView, b: InstanceView): number =>
    Number(isOutdated(b, image)) - Number(isOutdated(a, image)) ||
    sinceMs(a) - sinceMs(b) ||
    a.instance_id.localeCompare(b.instance_id);
  inventory.warm.sort(inOrderOfRemoval);
  inventory.sleeping.sort(inOrderOfRemoval);
  inventory.idle.sort(oldestFirst);
  return inventory;
}

function oldestFirst(a: InstanceView, b: InstanceView): number {
  const byAge = (a.created_at ?? '').localeCompare(b.created_at ?? '');
  return byAge !== 0 ? byAge : a.instance_id.localeCompare(b.instance_id);
}
