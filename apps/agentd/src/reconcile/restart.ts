import type { InstanceView } from '@mvm/protocol';
import type { DesiredPool, DesiredState } from '@mvm/protocol/state';
import { failureKey } from './actions.js';
import type { FailureRecord } from './types.js';

/** The fields of a pool that say what follows when a guest ends by itself. */
export type RestartFields = Pick<DesiredPool, 'restart' | 'on_panic'>;

/** What is to be done with an instance that is stopped. */
export type RestartVerdict =
  | { readonly kind: 'start' }
  /** It has done what it was for. */
  | { readonly kind: 'completed'; readonly message: string }
  /** It stays stopped until an operator starts it. */
  | { readonly kind: 'failed'; readonly reason: string; readonly message: string };

const START: RestartVerdict = { kind: 'start' };

/** The fields of the pool that an instance is of; none of a pool that is not desired. */
export function restartsIn(desired: DesiredState | null): (view: InstanceView) => RestartFields {
  const pools = new Map(
    desired?.tenants.flatMap(({ tenant_id, pools: own }) =>
      own.map((pool) => [`${tenant_id}/${pool.pool_id}`, pool] as const),
    ),
  );
  return ({ tenant_id, pool_id }) => pools.get(`${tenant_id}/${pool_id}`) ?? {};
}

/**
 * Whether the guest of a stopped instance ended by itself, and as it should: its main process with 0, or, of an image that
 * says nothing of it, by switching itself off. Null when the guest did not end by itself: the host has lost it.
 */
function endedWell({ stop_reason: stop }: InstanceView): boolean | null {
  if (stop === null || stop.kind !== 'exited') return null;
  if (stop.guest !== undefined) return stop.guest.exit_code === 0 && stop.guest.reason === 'exited';
  return stop.exit_code === 0 && stop.signal === null ? true : null;
}

/** What the pool's `restart` and `on_panic` say of a stopped instance. Pure. */
export function restartVerdict(
  view: InstanceView,
  { restart, on_panic }: RestartFields,
  failures: Readonly<Record<string, FailureRecord>>,
): RestartVerdict {
  if (view.status !== 'stopped' || view.operation !== null) return START;
  const isWell = endedWell(view);
  if (isWell === null) return START;
  const message = view.stop_reason?.message ?? '';
  const next = 'It stays stopped until: mvm instance start';
  if (view.stop_reason?.guest?.reason === 'panicked' && on_panic === 'stop') {
    return {
      kind: 'failed',
      reason: 'restart.panicked',
      message: `${message}, and the pool's on_panic is stop. ${next}`,
    };
  }
  const policy = restart?.policy ?? 'always';
  if (policy === 'no' || (policy === 'on-failure' && isWell)) {
    const why = `${message}, and the pool's restart policy is ${policy}`;
    return isWell
      ? { kind: 'completed', message: `${why}: it has completed` }
      : { kind: 'failed', reason: 'restart.policy', message: `${why}. ${next}` };
  }
  const most = restart?.max_retries;
  const count =
    failures[failureKey('start', `${view.tenant_id}/${view.pool_id}/${view.instance_id}`)]?.count ?? 0;
  if (most === undefined || count <= most) return START;
  return {
    kind: 'failed',
    reason: 'restart.limit',
    message: `it ended ${count} times in a row, and the pool's max_retries is ${most}; the last time: ${message}. ${next}`,
  };
}
