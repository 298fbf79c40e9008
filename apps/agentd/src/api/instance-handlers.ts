import { listInstances } from '../reconcile/observe.js';
import type { ApiContext, Handlers } from './handler-types.js';

type InstanceRoute = 'listInstances' | 'getInstance' | 'getInstanceLogs';

interface InstanceParams {
  readonly tenant: string;
  readonly pool: string;
  readonly instance: string;
}

function addressOf({ tenant, pool, instance }: InstanceParams) {
  return { tenant_id: tenant, pool_id: pool, instance_id: instance };
}

/** Instances as hostd knows them, with what agentd holds of them. */
export function instanceHandlers(context: ApiContext): Handlers<InstanceRoute> {
  const { client, holds, now } = context;

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
