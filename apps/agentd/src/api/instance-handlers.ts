import { listInstances, listTenants } from '../reconcile/observe.js';
import { createHandOperations, type OperationMode } from './hand-operations.js';
import type { ApiContext, Handlers } from './handler-types.js';

type InstanceRoute =
  | 'listInstances'
  | 'getInstance'
  | 'startInstance'
  | 'stopInstance'
  | 'sleepInstance'
  | 'wakeInstance'
  | 'warmInstance'
  | 'resumeInstance'
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

function modeOf({ dry_run }: { readonly dry_run: boolean }): OperationMode {
  return { dryRun: dry_run };
}

/** Instances: shown as hostd knows them; operations go to hostd at once, and the next pass sees what they did. */
export function instanceHandlers(context: ApiContext): Handlers<InstanceRoute> {
  const { client, holds, now } = context;
  const { hold, lift } = createHandOperations(context);

  /** 0 for a pool that hostd does not know: the operation itself then says so. */
  async function poolSeconds(
    address: ReturnType<typeof addressOf>,
    what: 'drain_timeout_seconds' | 'graceful_shutdown_seconds',
  ): Promise<number> {
    const tenant = (await listTenants(client)).find(({ tenant_id }) => tenant_id === address.tenant_id);
    const pool = tenant?.pools.find(({ pool_id }) => pool_id === address.pool_id);
    return pool?.runtime_policy[what] ?? 0;
  }

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

    startInstance: ({ params, query }) =>
      hold({ type: 'StartInstance', ...addressOf(params) }, 'running', {
        kind: 'manual_run',
        seconds: query.hold_seconds,
        ...modeOf(query),
      }),

    async stopInstance({ params, query }) {
      const address = addressOf(params);
      const { force } = query;
      const shutdownSecs = force
        ? 0
        : (query.shutdown_timeout_secs ?? (await poolSeconds(address, 'graceful_shutdown_seconds')));
      return hold(
        {
          type: 'StopInstance',
          ...address,
          force,
          ...(force ? {} : { shutdown_timeout_secs: shutdownSecs }),
        },
        'stopped',
        {
          kind: 'manual_stop',
          seconds: query.hold_seconds,
          extraMs: shutdownSecs * 1000,
          ...modeOf(query),
        },
      );
    },

    async sleepInstance({ params, query, body }) {
      const address = addressOf(params);
      const drainSecs = body.force
        ? 0
        : (body.drain_timeout_secs ?? (await poolSeconds(address, 'drain_timeout_seconds')));
      return hold(
        {
          type: 'SleepInstance',
          ...address,
          force: body.force,
          drain_timeout_secs: body.drain_timeout_secs ?? null,
        },
        'sleeping',
        {
          kind: 'manual_sleep',
          seconds: query.hold_seconds,
          extraMs: drainSecs * 1000,
          ...modeOf(query),
        },
      );
    },

    wakeInstance: ({ params, query }) =>
      hold({ type: 'WakeInstance', ...addressOf(params) }, 'running', {
        kind: 'manual_run',
        seconds: query.hold_seconds,
        ...modeOf(query),
      }),

    warmInstance: ({ params, query }) =>
      hold({ type: 'WarmInstance', ...addressOf(params) }, 'warm', {
        kind: 'manual_warm',
        seconds: query.hold_seconds,
        ...modeOf(query),
      }),

    resumeInstance: ({ params, query }) =>
      hold({ type: 'ResumeInstance', ...addressOf(params) }, 'running', {
        kind: 'manual_run',
        seconds: query.hold_seconds,
        ...modeOf(query),
      }),

    destroyInstance: ({ params, query }) =>
      lift(
        { type: 'DestroyInstance', ...addressOf(params), wipe_volumes: query.wipe_volumes },
        'destroyed',
        modeOf(query),
      ),

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
