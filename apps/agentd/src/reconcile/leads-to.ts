import type { InstanceView } from '@mvm/protocol';
import { INSTANCE_TRANSITIONS } from '@mvm/protocol/state';

/** The state that each operation on an instance leads to when it succeeds. */
const LEADS_TO: Readonly<Record<string, InstanceView['status']>> = {
  create: 'ready',
  ...Object.fromEntries(Object.entries(INSTANCE_TRANSITIONS).map(([operation, { to }]) => [operation, to])),
};

/**
 * The one state in which an instance is counted: its own, or the state that the operation under way on it leads to. Every
 * part of a plan counts by this. An operation that agentd does not know changes nothing.
 */
export function leadsTo(view: Pick<InstanceView, 'status' | 'operation'>): InstanceView['status'] {
  return view.operation === null ? view.status : (LEADS_TO[view.operation] ?? view.status);
}
