import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, expectTypeOf, it } from 'vitest';
import { type AgentdClient, createAgentdClient, type RouteInput, renderTarget } from './client.js';
import type { RouteDefinition } from './routes/route.js';
import { routes } from './routes/routes.js';

const address = { tenant: 'acme', pool: 'workers', instance: 'i-00c0ffee' };

describe('renderTarget', () => {
  it('fills path and query, with the defaults of the route', () => {
    expect(renderTarget(routes.stopInstance, { params: address })).toBe(
      '/v1/instances/acme/workers/i-00c0ffee/stop?dry_run=false&hold_seconds=900&force=false',
    );
    expect(renderTarget(routes.listInstances, { query: { tenant: 'acme', pool: 'workers' } })).toBe(
      '/v1/instances?tenant=acme&pool=workers',
    );
    expect(renderTarget(routes.putDesired, { query: { dry_run: true } })).toBe('/v1/desired?dry_run=true');
  });

  it.each(['../x', '..', 'a;rm', 'a/b', 'A', '', 'a'.repeat(64), '-a'])(
    'refuses the id %j before anything is sent',
    (tenant) => {
      expect(() => renderTarget(routes.getTenant, { params: { tenant } })).toThrow(
        expect.objectContaining({ code: 'invalid_argument', message: expect.stringContaining('Tenant id') }),
      );
    },
  );

  it('refuses a query that the route does not have', () => {
    expect(() => renderTarget(routes.listTenants, { query: { tenat: 'acme' } })).toThrow(/tenat/);
  });
});

describe('routes', () => {
  it.each(Object.entries<RouteDefinition>(routes))('%s: the path has exactly its params', (_, route) => {
    const inPath = [...route.path.matchAll(/:([a-z]+)/g)].map((match) => match[1]);
    expect(inPath).toEqual(Object.keys(route.params.shape));
  });

  it('has no two routes with one method and path', () => {
    const keys = Object.values(routes).map((route) => `${route.method} ${route.path}`);
    expect(new Set(keys).size).toBe(keys.length);
  });
});

describe('createAgentdClient', () => {
  it('asks only for the parts that a route has', () => {
    expectTypeOf<RouteInput<'getTenant'>>().toEqualTypeOf<{ readonly params: { tenant: string } }>();
    expectTypeOf<Parameters<AgentdClient['getStatus']>[0]>().toBeNullable();
    expectTypeOf<RouteInput<'putDesired'>>().toHaveProperty('body');
    expectTypeOf<RouteInput<'putDesired'>>().toHaveProperty('query');
  });

  it('refuses a socket path that the kernel would cut off', () => {
    expect(() => createAgentdClient({ socketPath: `/tmp/${'a'.repeat(110)}` })).toThrow(
      expect.objectContaining({ code: 'invalid_argument', reason: 'socket.path_too_long' }),
    );
  });

  it('says that agentd cannot be reached, and what to do', async () => {
    const client = createAgentdClient({ socketPath: '/nonexistent/agentd.sock' });
    await expect(client.getStatus()).rejects.toMatchObject({
      code: 'unavailable',
      reason: 'agentd.unreachable',
      details: { errno: 'ENOENT' },
      hint: expect.stringContaining('mvm-agentd'),
    });
    await client.close();
  });

  it('takes no answer beyond the limit, whoever answers on the socket', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'mvm-client-'));
    const socketPath = join(dir, 's');
    const server = createServer((_, answer) => {
      const more = (): void => {
        while (answer.writable && answer.write(Buffer.alloc(65_536, 0x20)));
        answer.once('drain', more);
      };
      answer.on('error', () => {});
      more();
    });
    await new Promise<void>((resolve) => server.listen(socketPath, resolve));
    const client = createAgentdClient({ socketPath, maxAnswerBytes: 1024 * 1024 });
    await expect(client.getStatus()).rejects.toMatchObject({
      code: 'resource_exhausted',
      reason: 'agentd.answer_too_large',
      message: 'agentd answered GET /v1/status with more than 1048576 bytes',
    });
    await client.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await rm(dir, { recursive: true });
  });
});
