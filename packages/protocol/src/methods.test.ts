import { describe, expect, it } from 'vitest';
import type { MethodDefinition } from './method-definition.js';
import { failurePrefix, METHODS, type MethodName, plannableRequestSchemas } from './methods.js';
import { INSTANCE_TRANSITIONS } from './state/transitions.js';
import { v1RequestSchemas } from './v1/schemas.js';
import { v2ResponseSchemas } from './v2/responses.js';

const methods = Object.entries<MethodDefinition>(METHODS);
const names = (test: (method: MethodDefinition) => boolean): string[] =>
  methods.filter(([, method]) => test(method)).map(([name]) => name);

describe('METHODS', () => {
  it('has the eight methods of version 1, answered with what version 1 has', () => {
    expect(names(({ since }) => since === 1)).toEqual(Object.keys(v1RequestSchemas));
    for (const [name, { since, response }] of methods)
      if (since === 1) expect(response).toBe(name === 'Ping' ? 'Pong' : 'Ok');
  });

  it('has a use for every response but Error', () => {
    const answers = new Set<string>(methods.map(([, { response }]) => response));
    expect([...answers, 'Error'].sort()).toEqual(Object.keys(v2ResponseSchemas).sort());
  });

  it('counts as read-only what reads, and nothing that changes', () => {
    expect(names(({ mutates }) => !mutates).sort()).toEqual([
      'AuditLog',
      'DescribeInstance',
      'HostInfo',
      'InstanceLogs',
      'ListActivity',
      'ListInstances',
      'ListTenants',
      'NetworkDrops',
      'OpenStream',
      'Ping',
      'PlanNetwork',
      'PlanRequest',
      'VerifyAudit',
      'VerifyNetwork',
      'WaitForChange',
    ]);
    expect(names(({ mutates, idempotent }) => !mutates && !idempotent)).toEqual([]);
  });

  it('names each operation once, as its tag does', () => {
    const operations = methods.map(([, { operation }]) => operation);
    expect(new Set(operations).size).toBe(operations.length);
    for (const [name, { operation, object, mutates }] of methods) {
      if (object !== 'instance' || !mutates) continue;
      expect(name.toLowerCase()).toBe(`${operation}instance`);
      expect(INSTANCE_TRANSITIONS).toHaveProperty(operation);
    }
  });

  it('says which ids a request has by the object that it addresses', () => {
    const ids = { host: 0, tenant: 1, pool: 2, instance: 3 } as const;
    for (const [name, { object, request }] of methods) {
      const fields = ['tenant_id', 'pool_id', 'instance_id'].map(
        (field) => request?.shape[field]?.safeParse(undefined).success === false,
      );
      expect(fields, name).toEqual([0, 1, 2].map((at) => at < ids[object]));
    }
  });

  it('lets PlanRequest ask about all methods but itself and streams', () => {
    expect(names(() => true)).toEqual([...Object.keys(plannableRequestSchemas), 'PlanRequest', 'OpenStream']);
  });
});

describe('failurePrefix', () => {
  it('is what version 1 peers look for', () => {
    const prefixes = (Object.keys(METHODS) as MethodName[]).map((name) => [name, failurePrefix(name)]);
    expect(Object.fromEntries(prefixes.filter(([, prefix]) => prefix !== null))).toEqual({
      StartInstance: 'start failed: ',
      StopInstance: 'stop failed: ',
      SleepInstance: 'sleep failed: ',
      WakeInstance: 'wake failed: ',
      DestroyInstance: 'destroy failed: ',
      SetupNetwork: 'setup network failed: ',
      TeardownNetwork: 'teardown network failed: ',
    });
  });
});
