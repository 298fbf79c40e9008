import type { InstanceView } from '@mvm/protocol';
import type { Colours } from './colours.js';

/** What the STATUS column says: the status, and an operation that is under way, else a wake that failed. */
export function describeStatus(instance: Pick<InstanceView, 'status' | 'operation' | 'stop_reason'>): string {
  const { status, operation, stop_reason } = instance;
  if (operation !== null) return `${status} (${operation})`;
  return status === 'sleeping' && stop_reason?.kind === 'wake_failed' ? `${status} (wake failed)` : status;
}

/** Colour of a status: green runs, yellow is on its way or paused, red ended on its own. */
export function styleStatus(
  colours: Colours,
  instance: Pick<InstanceView, 'status' | 'operation' | 'stop_reason'>,
): (text: string) => string {
  if (instance.operation !== null) return colours.yellow;
  switch (instance.status) {
    case 'running':
      return colours.green;
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

/** Whether it stopped without a request; of a sleeping one, whether its last wake failed. */
export function endedOnItsOwn({ stop_reason }: Pick<InstanceView, 'stop_reason'>): boolean {
  return stop_reason !== null && stop_reason.kind !== 'requested';
}
