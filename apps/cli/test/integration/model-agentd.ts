import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Hold,
  HTTP_STATUS,
  type InstanceInfo,
  type OperationResult,
  type RouteDefinition,
  type RouteName,
  type RouteResponse,
  routes,
  type Status,
  toApiError,
} from '@mvm/agentd-api';
import { CodedError, type HostInfo, isCodedError } from '@mvm/protocol';
import { assertTransition, type DesiredState, type InstanceOperation } from '@mvm/protocol/state';
import * as data from './model-data.js';

type Answers = { [N in RouteName]?: (input: Input) => RouteResponse<N> | Promise<RouteResponse<N>> };

interface Input {
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, unknown>>;
  readonly body: unknown;
}

/**
 * A small agentd: the real route table on a real Unix socket, over data in memory. Requests are validated by the
 * route's schemas and so is every answer, so that this cannot drift from the API. Unknown routes are refused.
 */
export class ModelAgentd {
  readonly socketPath: string;
  readonly calls: ({ route: RouteName } & Input)[] = [];
  instances: InstanceInfo[] = data.instances();
  host: HostInfo = data.hostInfo();
  /** Answers of `getStatus`, one per call; the last one is repeated. */
  statuses: Status[] = [data.status()];
  desired: DesiredState = data.desired();
  log = Buffer.alloc(0);
  auditEntries = data.auditEntries();
  /** Takes the place of a route's own answer. */
  readonly overrides: Answers = {};
  readonly #server: Server;
  readonly #dir: string;

  private constructor(dir: string) {
    this.#dir = dir;
    this.socketPath = join(dir, 'agentd.sock');
    this.#server = createServer((request, response) => {
      void this.#handle(request).then(({ status, body }) => {
        response.writeHead(status, { 'content-type': 'application/json' });
        response.end(JSON.stringify(body));
      });
    });
  }

  static async start(): Promise<ModelAgentd> {
    const model = new ModelAgentd(await mkdtemp(join(tmpdir(), `mvm-cli-${process.pid}-`)));
    await new Promise<void>((resolve, reject) => {
      model.#server.once('error', reject).listen(model.socketPath, resolve);
    });
    return model;
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    await rm(this.#dir, { recursive: true, force: true });
  }

  /** Lets a route fail. */
  fail(route: RouteName, error: CodedError): void {
    this.overrides[route] = () => {
      throw error;
    };
  }

  async #handle(request: IncomingMessage): Promise<{ status: number; body: unknown }> {
    try {
      const { route, input } = await this.#match(request);
      this.calls.push({ route, ...input });
      const answer = this.overrides[route] ?? this.#answers[route];
      if (answer === undefined) throw new Error(`the model has no answer for ${route}`);
      return { status: 200, body: routes[route].response.parse(await answer(input)) };
    } catch (error) {
      const status = isCodedError(error) ? HTTP_STATUS[error.code] : 500;
      return { status, body: { error: toApiError(error) } };
    }
  }

  async #match(request: IncomingMessage): Promise<{ route: RouteName; input: Input }> {
    const url = new URL(request.url ?? '', 'http://agentd');
    for (const [name, route] of Object.entries(routes) as [RouteName, RouteDefinition][]) {
      const pattern = new RegExp(`^${route.path.replace(/:([a-z]+)/g, '(?<$1>[^/]+)')}$`);
      const match = pattern.exec(url.pathname);
      if (route.method !== request.method || match === null) continue;
      const query = route.query.parse(Object.fromEntries(url.searchParams)) as Input['query'];
      const params = route.params.parse({ ...match.groups }) as Input['params'];
      const body = route.body === null ? undefined : route.body.parse(JSON.parse(await readText(request)));
      return { route: name, input: { params, query, body } };
    }
    throw new Error(`no route ${request.method} ${request.url}`);
  }

  #find({ params }: Input): InstanceInfo {
    const { tenant, pool, instance } = params;
    const found = this.instances.find(
      (each) => each.tenant_id === tenant && each.pool_id === pool && each.instance_id === instance,
    );
    if (found !== undefined) return found;
    throw new CodedError({
      code: 'not_found',
      reason: 'instance.not_found',
      message: `there is no instance ${tenant}/${pool}/${instance}`,
      hint: 'mvm instance list shows which there are',
    });
  }

  #operate(
    input: Input,
    verb: InstanceOperation,
    status: InstanceInfo['status'],
    hold: OperationResult['hold'] = null,
  ): OperationResult {
    const instance = this.#find(input);
    // agentd takes what is so already as success, and holds it anew.
    if (instance.status !== status) assertTransition(instance.status, verb);
    const { tenant_id, pool_id, instance_id } = instance;
    if (input.query.dry_run === true) {
      const plan = data.plan(`${tenant_id}/${pool_id}/${instance_id}`);
      return { tenant_id, pool_id, instance_id, status, hold, plan };
    }
    this.instances = this.instances.map((each) => (each === instance ? { ...each, status } : each));
    return { tenant_id, pool_id, instance_id, status, hold, plan: null };
  }

  #remove(tenant_id: string, pool_id: string | null): { tenant_id: string; destroyed: number } {
    const left = this.instances.filter(
      (each) => each.tenant_id !== tenant_id || (pool_id !== null && each.pool_id !== pool_id),
    );
    const destroyed = this.instances.length - left.length;
    this.instances = left;
    return { tenant_id, destroyed };
  }

  #hold(input: Input, kind: Hold['kind']): Hold {
    const now = Date.now();
    const { tenant_id, pool_id, instance_id } = this.#find(input);
    return {
      tenant_id,
      pool_id,
      instance_id,
      kind,
      since: new Date(now).toISOString(),
      until: new Date(now + Number(input.query.hold_seconds) * 1000 + 500).toISOString(),
    };
  }

  #askedForActivity = 0;

  readonly #answers: Answers = {
    getVersion: () => data.versionInfo(),
    ping: () => ({ agentd: 'ok', hostd_round_trip_ms: 0.25, protocol_version: 2 }),
    getHost: () => this.host,
    getActivity: () => {
      this.#askedForActivity += 1;
      const cpu_usec = this.#askedForActivity * 500_000;
      const nothing = { rx_bytes: 0, rx_packets: 0, tx_bytes: 0, tx_packets: 0 };
      const activity = this.instances.flatMap(({ tenant_id, pool_id, instance_id, status, pid }) =>
        status === 'running'
          ? [
              {
                tenant_id,
                pool_id,
                instance_id,
                status,
                pid: pid ?? 1,
                cpu_usec,
                ...nothing,
                memory_bytes: 1_048_576,
              },
            ]
          : [],
      );
      return { activity, monotonic_ms: this.#askedForActivity * 1000 };
    },
    getStatus: () => {
      const [first = data.status()] = this.statuses;
      if (this.statuses.length > 1) this.statuses.shift();
      return first;
    },
    getDesired: () => ({ ...data.status().desired, desired: this.desired }),
    putDesired: ({ query }) => data.applyResult(query.dry_run !== true),
    listTenants: () => ({ tenants: data.tenants(this.instances) }),
    removeTenant: ({ params }) => this.#remove(String(params.tenant), null),
    removePool: ({ params }) => ({
      ...this.#remove(String(params.tenant), String(params.pool)),
      pool_id: String(params.pool),
    }),
    getTenant: ({ params }) => {
      const found = data.tenants(this.instances).find((tenant) => tenant.tenant_id === params.tenant);
      if (found !== undefined) return found;
      throw new CodedError({
        code: 'not_found',
        reason: 'tenant.not_found',
        message: 'there is no such tenant',
      });
    },
    listPools: ({ query }) => ({
      pools: data.pools(this.instances).filter((pool) => (query.tenant ?? pool.tenant_id) === pool.tenant_id),
    }),
    getPool: ({ params }) => {
      const found = data.pools(this.instances).find((pool) => pool.pool_id === params.pool);
      if (found !== undefined) return found;
      throw new CodedError({ code: 'not_found', reason: 'pool.not_found', message: 'there is no such pool' });
    },
    listInstances: ({ query }) => ({
      instances: this.instances.filter(
        (each) =>
          (query.tenant ?? each.tenant_id) === each.tenant_id &&
          (query.pool ?? each.pool_id) === each.pool_id,
      ),
    }),
    getInstance: (input) => this.#find(input),
    startInstance: (input) => this.#operate(input, 'start', 'running', this.#hold(input, 'manual_run')),
    stopInstance: (input) => this.#operate(input, 'stop', 'stopped', this.#hold(input, 'manual_stop')),
    sleepInstance: (input) => this.#operate(input, 'sleep', 'sleeping', this.#hold(input, 'manual_sleep')),
    wakeInstance: (input) => this.#operate(input, 'wake', 'running', this.#hold(input, 'manual_run')),
    warmInstance: (input) => this.#operate(input, 'warm', 'warm', this.#hold(input, 'manual_warm')),
    resumeInstance: (input) => this.#operate(input, 'resume', 'running', this.#hold(input, 'manual_run')),
    rebootInstance: (input) => this.#operate(input, 'reboot', 'running'),
    destroyInstance: (input) => this.#operate(input, 'destroy', 'destroyed'),
    verifyNetwork: ({ query }) =>
      data.networkReport(query.tenant === undefined ? null : String(query.tenant), query.deep === true),
    planNetwork: ({ query }) => data.networkPlan(String(query.tenant), query.from_scratch === true),
    getNetworkDrops: () => data.networkDrops(3),
    getAuditLog: ({ params, query }) => {
      if (params.tenant !== 'acme') {
        throw new CodedError({
          code: 'not_found',
          reason: 'audit.not_found',
          message: 'there is no such log',
        });
      }
      const all = this.auditEntries.filter(({ at }) => at >= String(query.since ?? ''));
      const from = Number(query.cursor ?? 0);
      return {
        entries: all.slice(from, from + 2),
        next_cursor: from + 2 < all.length ? String(from + 2) : null,
      };
    },
    verifyAudit: ({ query }) => ({
      reports: data.auditReports().filter(({ tenant_id }) => (query.tenant ?? tenant_id) === tenant_id),
    }),
    getInstanceLogs: (input) => {
      this.#find(input);
      const limit = Number(input.query.max_bytes);
      const asked = input.query.offset;
      const offset =
        asked === undefined ? Math.max(0, this.log.length - limit) : Math.min(Number(asked), this.log.length);
      const bytes = this.log.subarray(offset, offset + limit);
      return {
        stream: input.query.stream === 'vmm' ? 'vmm' : 'console',
        offset,
        next_offset: offset + bytes.length,
        data_base64: bytes.toString('base64'),
        truncated: false,
      };
    },
  };
}

async function readText(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString();
}
