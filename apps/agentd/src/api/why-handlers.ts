import type { InstanceDecision, Why } from '@mvm/agentd-api';
import { type AuditEntryView, isCodedError, METHODS, type MethodName } from '@mvm/protocol';
import { nextActions } from '../reconcile/conditions.js';
import { addressOf } from '../reconcile/inventory.js';
import { listInstances } from '../reconcile/observe.js';
import { protectionOf } from '../reconcile/plan-tenant.js';
import type { ApiContext, Handlers } from './handler-types.js';

/** An entry of the audit log is that of a decision whose request ended within this time of it. */
const SLACK_MS = 2000;
/** Pages of the audit log that are looked through, at most. */
const MAX_PAGES = 4;

/** Why instances are as they are. */
export function whyHandlers(context: ApiContext): Handlers<'whyInstance'> {
  const { client, decisions, desired, holds, now, overrides, reconciler, streams } = context;

  /** The instance's entries of hostd's audit log since a time; none when there is no such log. */
  async function auditOf(tenantId: string, instanceId: string, since: string): Promise<AuditEntryView[]> {
    const entries: AuditEntryView[] = [];
    let cursor: string | null = null;
    try {
      for (let page = 0; page < MAX_PAGES; page += 1) {
        const answer: { entries: AuditEntryView[]; next_cursor: string | null } = await client.request({
          type: 'AuditLog',
          tenant_id: tenantId,
          since,
          cursor,
        });
        entries.push(...answer.entries.filter(({ instance_id }) => instance_id === instanceId));
        cursor = answer.next_cursor;
        if (cursor === null) break;
      }
    } catch (error) {
      if (!isCodedError(error) || error.code !== 'not_found') throw error;
    }
    return entries;
  }

  return {
    async whyInstance({ params }): Promise<Why> {
      const address = { tenant_id: params.tenant, pool_id: params.pool, instance_id: params.instance };
      const { type: _, ...view } = await client.request({ type: 'DescribeInstance', ...address });
      const known = decisions.of(address);
      const oldest = known.at(-1)?.at;
      const [audit, siblings] = await Promise.all([
        oldest === undefined ? [] : auditOf(params.tenant, params.instance, oldest),
        listInstances(client, { tenant_id: params.tenant, pool_id: params.pool }),
      ]);
      const pool = desired.loaded?.desired.tenants
        .find(({ tenant_id }) => tenant_id === params.tenant)
        ?.pools.find(({ pool_id }) => pool_id === params.pool);
      const hold = holds.find(address, now());
      const next =
        pool === undefined
          ? []
          : nextActions({
              view,
              pool,
              hold,
              protection: protectionOf({ ...overrides, holds: [] }, params.tenant, params.pool),
              running: siblings.filter(({ status }) => status === 'running').length,
              sessions: streams.countOf(addressOf(address)),
              activity: reconciler.activityOf(addressOf(address)),
            });
      return {
        ...address,
        status: view.status,
        status_since: view.status_since,
        operation: view.operation,
        hold,
        sleep_policy: pool?.sleep_policy ?? null,
        next,
        problems: reconciler
          .report()
          .problems.filter(
            ({ tenant_id, pool_id, instance_id }) =>
              tenant_id === params.tenant &&
              (pool_id ?? params.pool) === params.pool &&
              (instance_id ?? params.instance) === params.instance,
          ),
        decisions: known.map((decision) => ({ ...decision, audit: entryOf(decision, audit) })),
      };
    },
  };
}

/** The audit log's entry of a decision: the same operation, ended at the same time. */
function entryOf(decision: InstanceDecision, entries: readonly AuditEntryView[]): AuditEntryView | null {
  if (decision.request === null) return null;
  const operation = METHODS[decision.request as MethodName]?.operation;
  const endedAtMs = Date.parse(decision.at) + decision.duration_ms;
  const near = entries.filter(
    (entry) => entry.operation === operation && Math.abs(Date.parse(entry.at) - endedAtMs) <= SLACK_MS,
  );
  const distance = (entry: AuditEntryView): number => Math.abs(Date.parse(entry.at) - endedAtMs);
  return near.toSorted((a, b) => distance(a) - distance(b))[0] ?? null;
}
