import { describe, expect, it } from 'vitest';
import {
  compareAddresses,
  formatAddress,
  parseInstanceAddress,
  parsePoolAddress,
  parseScope,
} from './address.js';

describe('addresses', () => {
  it('are taken apart', () => {
    expect(parseInstanceAddress('acme/web/i-0a1b2c3d')).toEqual({
      tenantId: 'acme',
      poolId: 'web',
      instanceId: 'i-0a1b2c3d',
    });
    expect(parsePoolAddress('acme/web')).toEqual({ tenantId: 'acme', poolId: 'web' });
    expect(parseScope(undefined)).toEqual({});
    expect(parseScope('acme')).toEqual({ tenantId: 'acme' });
    expect(parseScope('acme/web')).toEqual({ tenantId: 'acme', poolId: 'web' });
  });

  it.each(['', 'acme', 'acme/web', 'acme/web/i-1/x'])('%j has the wrong number of parts', (text) => {
    expect(() => parseInstanceAddress(text)).toThrow(expect.objectContaining({ reason: 'address.invalid' }));
  });

  it.each([
    ['..web/x/i-1', 'Tenant'],
    ['/web/i-1', 'Tenant'],
    ['acme/a;rm/i-1', 'Pool'],
    ['acme/web/', 'Instance'],
    [`acme/web/${'a'.repeat(64)}`, 'Instance'],
    ['Acme/web/i-1', 'Tenant'],
    ['acme/-web/i-1', 'Pool'],
    ['acme/web/i\u0000', 'Instance'],
  ])('%j names the part that is wrong', (text, kind) => {
    const parts = text.split('/').length;
    expect(parts).toBe(3);
    expect(() => parseInstanceAddress(text)).toThrow(
      expect.objectContaining({ code: 'invalid_argument', message: expect.stringContaining(kind) }),
    );
  });

  it('are put together and ordered', () => {
    const objects = [
      { tenant_id: 'b', pool_id: 'p', instance_id: 'i-1' },
      { tenant_id: 'a', pool_id: 'p', instance_id: 'i-2' },
      { tenant_id: 'a', pool_id: 'p', instance_id: 'i-1' },
      { tenant_id: 'a', pool_id: null },
    ];
    expect(objects.sort(compareAddresses).map(formatAddress)).toEqual(['a', 'a/p/i-1', 'a/p/i-2', 'b/p/i-1']);
  });
});
