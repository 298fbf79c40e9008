import { v1RequestSchemas, v2RequestSchemas, v2ResponseSchemas } from '@mvm/protocol';
import { describe, expect, it } from 'vitest';
import { answers, isReadOnly, RESPONSE_TYPES } from './responses.js';

describe('RESPONSE_TYPES', () => {
  it('names a known response for every request, and nothing else', () => {
    expect(Object.keys(RESPONSE_TYPES).sort()).toEqual(Object.keys(v2RequestSchemas).sort());
    for (const type of Object.values(RESPONSE_TYPES))
      expect(Object.hasOwn(v2ResponseSchemas, type)).toBe(true);
  });

  it('answers a version 1 request with what version 1 has', () => {
    for (const type of Object.keys(v1RequestSchemas) as (keyof typeof v1RequestSchemas)[]) {
      expect(RESPONSE_TYPES[type]).toBe(type === 'Ping' ? 'Pong' : 'Ok');
    }
  });

  it('tells an answer from another one', () => {
    expect(answers({ type: 'Ping' }, { type: 'Pong' })).toBe(true);
    expect(answers({ type: 'Ping' }, { type: 'Ok' })).toBe(false);
    expect(answers({ type: 'Ping' }, { type: 'Error', message: 'x' })).toBe(false);
  });

  it('counts as read-only what reads, and nothing that changes', () => {
    const readOnly = (Object.keys(v2RequestSchemas) as (keyof typeof v2RequestSchemas)[]).filter((type) =>
      isReadOnly({ type } as Parameters<typeof isReadOnly>[0]),
    );
    expect(readOnly.sort()).toEqual([
      'AuditLog',
      'DescribeInstance',
      'HostInfo',
      'InstanceLogs',
      'ListInstances',
      'ListTenants',
      'NetworkDrops',
      'Ping',
      'PlanNetwork',
      'PlanRequest',
      'VerifyAudit',
      'VerifyNetwork',
    ]);
  });
});
