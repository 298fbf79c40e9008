import { operationRoutes } from '@mvm/agentd-api';
import { clientFrameCodec, METHODS, type V2Request } from '@mvm/protocol';
import { expect, it } from 'vitest';

it.each(Object.entries(operationRoutes))(
  '%s has the fields of the request that it sends, and a path of its own',
  (name, route) => {
    const { operation, request } = METHODS[route.request];
    expect(name).toBe(`${operation}Instance`);
    expect(route.path).toBe(`/v1/instances/:tenant/:pool/:instance/${operation}`);
    const own = [...Object.keys(route.query.shape), ...Object.keys(route.body?.shape ?? {})].filter(
      (field) => !['dry_run', 'hold_seconds'].includes(field),
    );
    const address = ['tenant_id', 'pool_id', 'instance_id'];
    expect([...address, ...own].sort()).toEqual(Object.keys(request.shape).sort());
    expect('hold_seconds' in route.query.shape).toBe(route.hold !== null);
    const values = { ...route.query.parse({}), ...route.body?.parse({}) };
    const message = { type: route.request, tenant_id: 't', pool_id: 'p', instance_id: 'i', ...values };
    const bytes = clientFrameCodec.encode({ type: 'request', id: 1, request: message as V2Request });
    expect(clientFrameCodec.decode(bytes)).toMatchObject({ type: 'request' });
  },
);
