import { describe, expect, it } from 'vitest';
import { findByPrefix } from './resolve-instance.js';

const at = (tenant_id: string, instance_id: string) => ({ tenant_id, pool_id: 'web', instance_id });
const INSTANCES = [at('acme', 'i-54e69340'), at('acme', 'i-54f00000'), at('globex', 'i-17652718')];

describe('the beginning of an id', () => {
  it('is enough when it is that of one instance', () => {
    expect(findByPrefix(INSTANCES, 'i-54e')).toEqual({
      tenantId: 'acme',
      poolId: 'web',
      instanceId: 'i-54e69340',
    });
    expect(findByPrefix([...INSTANCES, at('acme', 'i-54e')], 'i-54e').instanceId).toBe('i-54e');
  });

  it('is refused when it is that of several, and names them', () => {
    expect(() => findByPrefix(INSTANCES, 'i-54')).toThrow('acme/web/i-54e69340, acme/web/i-54f00000');
  });

  it('is not found when it is that of none', () => {
    expect(() => findByPrefix(INSTANCES, 'i-9')).toThrow('no instance whose id begins with i-9');
  });
});
