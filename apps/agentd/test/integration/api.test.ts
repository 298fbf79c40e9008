import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { type RouteDefinition, routes } from '@mvm/agentd-api';
import type { AuditEntryView, AuditReportView } from '@mvm/protocol';
import { type AgentdPlace, createHost, type Host } from '@mvm/testkit/host';
import { Validator } from '@seriousme/openapi-schema-validator';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { statusWhen } from '../harness/agentd.js';
import { type FakeHostd, startFakeHostd } from '../harness/fake-hostd.js';
import { desiredPool, desiredState, desiredTenant } from '../model/desired.js';

let host: Host;
let agentd: AgentdPlace;
let hostd: FakeHostd;

beforeAll(async () => {
  host = await createHost({ hostd: 'none' });
  agentd = host.agentd;
  hostd = await startFakeHostd(host.socketPath);
  await agentd.start();
  await agentd.client.putDesired({
    body: desiredState([
      desiredTenant('acme', 3, [
        desiredPool('gateways', { running: 1 }),
        desiredPool('workers', { running: 2 }),
      ]),
      desiredTenant('beta', 4, [desiredPool('workers', { running: 1 })]),
    ]),
  });
  await statusWhen(agentd.client, ({ converged }) => converged);
});
afterAll(async () => {
  await host.dispose();
  await hostd.close();
});

interface Answer {
  readonly status: number | undefined;
  readonly type: string | undefined;
  readonly text: string;
}

function send(method: string, path: string, body?: string, type = 'application/json'): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': type };
    const request = httpRequest({ socketPath: agentd.socketPath, method, path, headers }, (response) => {
      let text = '';
      response.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      response.on('end', () =>
        resolve({ status: response.statusCode, type: response.headers['content-type'], text }),
      );
    });
    request.on('error', reject);
    request.end(body);
  });
}

function errorOf(answer: Answer): { code: string; reason: string; message: string; hint: string | null } {
  return JSON.parse(answer.text).error;
}

describe('the OpenAPI document', () => {
  it('is valid, and has every route with its parameters, body and errors', async () => {
    const answer = await send('GET', '/openapi.json');
    const document = JSON.parse(answer.text);
    expect(document.openapi).toBe('3.1.0');
    expect(await new Validator().validate(structuredClone(document))).toMatchObject({ valid: true });
    const paths: Record<string, Record<string, Record<string, unknown>>> = document.paths;
    const described = Object.entries(paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const wanted = Object.values<RouteDefinition>(routes).map(
      (route) => `${route.method} ${route.path.replace(/:([a-z]+)/g, '{$1}')}`,
    );
    expect(described.sort()).toEqual(wanted.sort());
    for (const [name, route] of Object.entries<RouteDefinition>(routes)) {
      const operation = paths[route.path.replace(/:([a-z]+)/g, '{$1}')]?.[route.method.toLowerCase()];
      expect(operation, name).toMatchObject({ operationId: name, summary: route.summary });
      const parameters = (operation?.parameters ?? []) as { name: string; in: string }[];
      expect(parameters.filter((p) => p.in === 'path').map((p) => p.name)).toEqual(
        Object.keys(route.params.shape),
      );
      expect(parameters.filter((p) => p.in === 'query').map((p) => p.name)).toEqual(
        Object.keys(route.query.shape),
      );
      expect(operation?.requestBody !== undefined, name).toBe(route.body !== null);
      expect(Object.keys(operation?.responses ?? {}).sort()).toEqual(['200', '4XX', '5XX']);
    }
  });
});

describe('objects', () => {
  it('are listed with their counts', async () => {
    const { tenants } = await agentd.client.listTenants();
    expect(tenants.map(({ tenant_id }) => tenant_id)).toEqual(['acme', 'beta']);
    expect(await agentd.client.getTenant({ params: { tenant: 'acme' } })).toEqual(tenants[0]);
    const { pools } = await agentd.client.listPools({ query: { tenant: 'acme' } });
    expect(pools).toMatchObject([
      { pool_id: 'gateways', instances: { running: 1, stopped: 0 }, image: { name: 'demo' } },
      { pool_id: 'workers', instances: { running: 2 } },
    ]);
    expect(await agentd.client.getPool({ params: { tenant: 'acme', pool: 'workers' } })).toEqual(pools[1]);
    expect((await agentd.client.listInstances()).instances).toHaveLength(4);
    const query = { tenant: 'acme', pool: 'workers' };
    expect((await agentd.client.listInstances({ query })).instances).toHaveLength(2);
  });

  it('that are not there are not found, with the next step', async () => {
    const missing = { code: 'not_found', hint: expect.stringContaining('mvm') };
    await expect(agentd.client.getTenant({ params: { tenant: 'nosuch' } })).rejects.toMatchObject(missing);
    await expect(agentd.client.listPools({ query: { tenant: 'nosuch' } })).rejects.toMatchObject(missing);
    const params = { tenant: 'acme', pool: 'nosuch' };
    await expect(agentd.client.getPool({ params })).rejects.toMatchObject({ reason: 'pool.not_found' });
  });

  it('have logs, by offset', async () => {
    const [view] = (await agentd.client.listInstances()).instances;
    const params = {
      tenant: view?.tenant_id ?? '',
      pool: view?.pool_id ?? '',
      instance: view?.instance_id ?? '',
    };
    const all = await agentd.client.getInstanceLogs({ params });
    expect(Buffer.from(all.data_base64, 'base64').toString()).toBe('mvm-guest ready\n');
    const piece = await agentd.client.getInstanceLogs({ params, query: { offset: 4, max_bytes: 5 } });
    expect(Buffer.from(piece.data_base64, 'base64').toString()).toBe('guest');
    expect(piece).toMatchObject({ offset: 4, next_offset: 9, stream: 'console' });
  });
});

describe('audit logs', () => {
  it('are passed on, page by page, and reports of all pages', async () => {
    const { model } = hostd;
    model.auditEntries = [auditEntry(1), auditEntry(2), auditEntry(3)];
    const params = { tenant: 'acme' };
    const first = await agentd.client.getAuditLog({ params, query: { limit: 2 } });
    expect(first.entries.map(({ seq }) => seq)).toEqual([1, 2]);
    const rest = await agentd.client.getAuditLog({ params, query: { cursor: first.next_cursor ?? '' } });
    expect(rest).toMatchObject({ entries: [{ seq: 3 }], next_cursor: null });
    await expect(agentd.client.getAuditLog({ params: { tenant: 'nosuch' } })).rejects.toMatchObject({
      reason: 'audit.not_found',
    });
    model.auditReports = Array.from({ length: 600 }, (_, index) => auditReport(`t${index}`));
    expect((await agentd.client.verifyAudit()).reports).toHaveLength(600);
  });
});

describe('versions and metrics', () => {
  it('are those of both sides', async () => {
    const version = await agentd.client.getVersion();
    expect(version).toMatchObject({
      compatible: true,
      hostd: { version: '0.0.0-model', protocol_version: 2 },
    });
    expect((await agentd.client.getHost()).hostd_version).toBe('0.0.0-model');
    expect((await agentd.client.ping()).hostd_round_trip_ms).toBeGreaterThan(0);
  });

  it('count passes, actions, instances and the connection', async () => {
    const text = await agentd.client.getMetrics();
    expect(text).toContain('mvm_agentd_hostd_up 1\n');
    expect(text).toContain('mvm_agentd_converged 1\n');
    expect(text).toContain('mvm_agentd_instances{status="running"} 4\n');
    expect(text).toContain('mvm_agentd_actions_total{kind="start",result="ok"} 4\n');
    expect(text).toMatch(/mvm_agentd_reconcile_passes_total\{trigger="desired",result="ok"\} [1-9]/);
    expect((await send('GET', '/metrics')).type).toBe('text/plain; version=0.0.4; charset=utf-8');
  });
});

describe('bad requests', () => {
  it.each(['..%2Fx', '%2E%2E', 'a;rm', 'A', 'a'.repeat(64), '-a', 'a%00b', '%F0%9F%92%A5'])(
    'the tenant id %s is refused',
    async (id) => {
      const answer = await send('GET', `/v1/tenants/${id}`);
      expect(answer.status).toBe(400);
      expect(errorOf(answer)).toMatchObject({
        code: 'invalid_argument',
        message: expect.stringContaining('Tenant id'),
      });
    },
  );

  it('an invalid desired state names every wrong field, and changes nothing', async () => {
    const before = await agentd.client.getDesired();
    const body = { schema_version: 1, node_id: '', tenants: [{ tenant_id: 'x_y' }] };
    const answer = await send('PUT', '/v1/desired', JSON.stringify(body));
    expect(answer.status).toBe(400);
    const error = errorOf(answer);
    expect(error.reason).toBe('desired_state.invalid');
    for (const path of ['node_id', 'tenants[0].tenant_id', 'tenants[0].network']) {
      expect(error.message).toContain(path);
    }
    expect(await agentd.client.getDesired()).toEqual(before);
  });

  it.each([
    ['no JSON', '{"schema_version":', 'application/json', 400],
    ['another type', 'schema_version: 1', 'text/yaml', 415],
    ['an unknown field', '{"schema_version":1,"node_id":"a","tenants":[],"x":1}', 'application/json', 400],
    ['no object', '[]', 'application/json', 400],
  ])('%s is refused', async (_, body, type, status) => {
    const answer = await send('PUT', '/v1/desired', body, type);
    expect(answer.status).toBe(status);
    expect(errorOf(answer).code).toBe('invalid_argument');
  });

  it.each([
    ['/v1/instances?pool=workers', 'pool'],
    ['/v1/instances?tenat=acme', 'tenat'],
    ['/v1/instances/acme/workers/i-1/logs?max_bytes=0', 'max_bytes'],
    ['/v1/instances/acme/workers/i-1/logs?offset=-1', 'offset'],
    ['/v1/instances/acme/workers/i-1/logs?stream=kernel', 'stream'],
  ])('%s is refused, naming the field', async (path, field) => {
    const answer = await send('GET', path);
    expect(answer.status).toBe(400);
    expect(errorOf(answer).message).toContain(field);
  });

  it.each([
    ['{"force":"yes"}', 'force'],
    ['{"drain_timeout_secs":-1}', 'drain_timeout_secs'],
    ['{"drain_timeout_secs":1.5}', 'drain_timeout_secs'],
    ['{"forse":true}', 'forse'],
  ])('a sleep with %s is refused, naming the field', async (body, field) => {
    const [view] = (await agentd.client.listInstances()).instances;
    const path = `/v1/instances/${view?.tenant_id}/${view?.pool_id}/${view?.instance_id}/sleep`;
    const answer = await send('POST', path, body);
    expect(answer.status).toBe(400);
    expect(errorOf(answer).message).toContain(field);
    expect((await agentd.client.getStatus()).holds).toEqual([]);
  });

  it('unknown routes and methods are not found', async () => {
    expect(errorOf(await send('GET', '/v2/nosuch')).reason).toBe('route.not_found');
    expect((await send('DELETE', '/v1/desired')).status).toBe(404);
  });

  it('garbage on the socket closes that connection only', async () => {
    const socket = connect(agentd.socketPath);
    const closed = new Promise((resolve) => socket.once('close', resolve));
    socket.write('\x00\x00\x00\x05hello\r\n\r\n');
    socket.resume();
    await closed;
    expect((await send('GET', '/v1/ping')).status).toBe(200);
  });

  it('a body that is too large is refused before it is read', async () => {
    const socket = connect(agentd.socketPath);
    const answered = once(socket, 'data');
    socket.write(
      'PUT /v1/desired HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\ncontent-length: 4194305\r\n\r\n{',
    );
    const [chunk] = await answered;
    expect(String(chunk)).toMatch(/^HTTP\/1\.1 413 /);
    expect(String(chunk)).toContain('"reason":"request.too_large"');
    socket.destroy();
  });

  it("hostd's errors keep code, reason and hint", async () => {
    const answer = await send('POST', '/v1/instances/acme/workers/i-nosuch/start');
    expect(answer.status).toBe(404);
    expect(errorOf(answer)).toMatchObject({ code: 'not_found', reason: 'instance.not_found' });
  });

  it('an impossible transition is a conflict that names both states', async () => {
    const [view] = (await agentd.client.listInstances()).instances;
    const path = `/v1/instances/${view?.tenant_id}/${view?.pool_id}/${view?.instance_id}`;
    expect((await send('POST', `${path}/stop`)).status).toBe(200);
    const answer = await send('POST', `${path}/warm`);
    expect(answer.status).toBe(409);
    expect(errorOf(answer)).toMatchObject({
      reason: 'instance.invalid_transition',
      message: expect.stringMatching(/stopped.*warm/),
    });
    expect((await send('POST', `${path}/start?hold_seconds=0`)).status).toBe(200);
  });
});

function auditEntry(seq: number): AuditEntryView {
  return {
    seq,
    at: '2026-11-25T08:00:00.000Z',
    op_id: 'x',
    operation: 'start',
    tenant_id: 'acme',
    pool_id: null,
    instance_id: null,
    peer: null,
    result: 'ok',
    code: null,
    reason: null,
    message: null,
    duration_ms: 1,
    details: {},
  };
}

function auditReport(tenant_id: string): AuditReportView {
  return {
    tenant_id,
    lines: 0,
    unchained_lines: 0,
    first_seq: null,
    last_seq: null,
    head: 'none',
    problems: [],
    problem_count: 0,
  };
}
