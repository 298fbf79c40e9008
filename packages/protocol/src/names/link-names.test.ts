import { describe, expect, it } from 'vitest';
import { bridgeName, macAddress, parseBridgeName, parseTapName, tapName } from './link-names.js';

describe('names', () => {
  it('are those of the contract', () => {
    expect(tapName(3, 5)).toBe('tn3i5');
    expect(macAddress(3, 5)).toBe('02:fc:00:03:00:05');
    expect(macAddress(4095, 254)).toBe('02:fc:0f:ff:00:fe');
    expect(bridgeName(3)).toBe('br-tenant-3');
  });

  it('fit into an interface name of 15 bytes', () => {
    expect(tapName(4095, 254).length).toBeLessThanOrEqual(15);
    expect(bridgeName(4095).length).toBeLessThanOrEqual(15);
  });

  it('can be read back for every net id', () => {
    for (let netId = 0; netId <= 4095; netId += 1) {
      expect(parseBridgeName(bridgeName(netId))).toBe(netId);
      const ipOffset = (netId % 254) + 1;
      expect(parseTapName(tapName(netId, ipOffset))).toEqual({ netId, ipOffset });
    }
  });

  it.each([
    'tn3i05',
    'tn03i5',
    'tn4096i5',
    'tn3i255',
    'tn3i0',
    'tn3i',
    'xtn3i5',
    'tn3i5\n',
    'tn3i5 ',
    'tn-1i5',
    '',
  ])('does not take %j for a TAP', (name) => expect(parseTapName(name)).toBeNull());

  it.each([
    'br-tenant-',
    'br-tenant-03',
    'br-tenant-4096',
    'br-tenant-3\n',
    'br-tenant-3x',
    'docker0',
    'BR-TENANT-3',
  ])('does not take %j for a bridge', (name) => expect(parseBridgeName(name)).toBeNull());

  it.each([-1, 4096, 1.5, Number.NaN])('refuses net id %d', (netId) => {
    expect(() => tapName(netId, 5)).toThrow(RangeError);
    expect(() => macAddress(netId, 5)).toThrow(RangeError);
    expect(() => bridgeName(netId)).toThrow(RangeError);
  });

  it.each([0, 255, 2.5, Number.NaN])('refuses offset %d', (offset) => {
    expect(() => tapName(3, offset)).toThrow(RangeError);
    expect(() => macAddress(3, offset)).toThrow(RangeError);
  });
});
