import type { InstanceView } from '@mvm/protocol';
import type { Colours } from './colours.js';

type Shown = Pick<InstanceView, 'status' | 'operation' | 'stop_reason' | 'sign_of_life'>;

/**
 * What the STATUS column says: the status, and an operation that is under way, else a wake that failed, or that a guest has
 * given no sign of life.
 */
export function describeStatus(instance: Shown): string {
  const { status, operation, stop_reason, sign_of_life } = instance;
  if (operation !== null) return `${status} (${operation})`;
  if (isSilent({ status, sign_of_life })) return `${status} (silent)`;
  return status === 'sleeping' && stop_reason?.kind === 'wake_failed' ? `${status} (wake failed)` : status;
}

/** Colour of a status: green runs, yellow is on its way or paused, red ended on its own. */
export function styleStatus(colours: Colours, instance: Shown): (text: string) => string {
  if (instance.operation !== null) return colours.yellow;
  switch (instance.status) {
    case 'running':
      return isSilent(instance) ? colours.red : colours.green;
    case 'warm':
      return colours.cyan;
    case 'sleeping':
      return endedOnItsOwn(instance) ? colours.red : colours.cyan;
    case 'stopped':
      return endedOnItsOwn(instance) ? colours.red : colours.dim;
    default:
      return colours.dim;
  }
}

/** Whether its VMM says that it runs, and its guest has given no sign of life. */
export function isSilent({ status, sign_of_life }: Pick<Shown, 'status' | 'sign_of_life'>): boolean {
  return status === 'running' && sign_of_life === 'none';
}

/** Whether it stopped without a request; of a sleeping one, whether its last wake failed. */
export function endedOnItsOwn({ stop_reason }: Pick<InstanceView, 'stop_reason'>): boolean {
  return stop_reason !== null && stop_reason.kind !== 'requested';
}
