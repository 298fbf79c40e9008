import { describe, expect, it } from 'vitest';
import { negotiateVersion } from './versions.js';

describe('negotiateVersion', () => {
  it('takes the highest version of both', () => {
    expect(negotiateVersion([2])).toBe(2);
    expect(negotiateVersion([1, 2, 3, 99])).toBe(2);
  });

  it.each([[[]], [[1]], [[3, 4]], [[0]]])('refuses %j', (offered) => {
    expect(() => negotiateVersion(offered)).toThrow(
      expect.objectContaining({ code: 'protocol_mismatch', reason: 'protocol.no_common_version' }),
    );
  });
});
