import { listInstances } from '../reconcile/observe.js';
import type { ApiContext, Handlers } from './handler-types.js';

type InstanceRoute =
  | 'listInstances'
  | 'getInstance'
  | 'startInstance'
  | 'stopInstance'
  | 'destroyInstance'
  | 'getInstanceLogs';

interface InstanceParams {
  readonly tenant: string;
  readonly pool: string;
  readonly instance: string;
}

function addressOf({ tenant, pool, instance }: InstanceParams) {
  return { tenant_id: tenant, pool_id: pool, instance_id: instance };
}

/** Instances: shown as hostd knows them; operations go to hostd at once, and the next pass sees what they did. */
export function instanceHandlers(context: ApiContext): Handlers<InstanceRoute> {
  const { client, holds, now, reconciler } = context;
  const options = { timeoutMs: context.actionTimeoutMs };

  return {
    async listInstances({ query }) {
      const filter = {
        ...(query.tenant === undefined ? {} : { tenant_id: query.tenant }),
        ...(query.pool === undefined ? {} : { pool_id: query.pool }),
      };
      return { instances: await listInstances(client, filter) };
    },

    async getInstance({ params }) {
      const address = addressOf(params);
      const { type: _, ...detail } = await client.request({ type: 'DescribeInstance', ...address });
      return { ...detail, hold: holds.find(address, now()) };
    },

    async startInstance({ params }) {
      const address = addressOf(params);
      await client.request({ type: 'StartInstance', ...address }, options);
      await holds.lift(address, now());
      reconciler.nudge('request');
      return { ...address, status: 'running', hold: null };
    },

    async stopInstance({ params, query }) {
      const address = addressOf(params);
      const before = holds.find(address, now());
      // Held before it stops: a pass that sees it stopped must see the hold too.
      const hold = query.hold_seconds === 0 ? null : await holds.set(address, query.hold_seconds, now());
      try {
        await client.request({ type: 'StopInstance', ...address }, options);
      } catch (error) {
        if (hold !== null && before === null) await holds.lift(address, now());
        throw error;
      }
      reconciler.nudge('request');
      return { ...address, status: 'stopped', hold };
    },

    async destroyInstance({ params, query }) {
      const address = addressOf(params);
      await client.request(
        { type: 'DestroyInstance', ...address, wipe_volumes: query.wipe_volumes },
        options,
      );
      await holds.lift(address, now());
      reconciler.nudge('request');
      return { ...address, status: 'destroyed', hold: null };
    },

    async getInstanceLogs({ params, query }) {
      const { type: _, ...chunk } = await client.request({
        type: 'InstanceLogs',
        ...addressOf(params),
        stream: query.stream,
        max_bytes: query.max_bytes,
        ...(query.offset === undefined ? {} : { offset: query.offset }),
      });
      return chunk;
    },
  };
}
