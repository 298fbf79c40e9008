import { isCodedError } from '@mvm/errors';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatIpv4, formatIpv4Cidr, parseIpv4, parseIpv4Cidr } from './ipv4.js';

/** The value, or undefined when it is refused with a CodedError. */
function attempt<T>(run: () => T): T | undefined {
  try {
    return run();
  } catch (error) {
    if (!isCodedError(error)) throw error;
    return undefined;
  }
}

describe('IPv4', () => {
  it('is the same after writing and reading', () => {
    const address = fc.integer({ min: 0, max: 0xffff_ffff });
    fc.assert(
      fc.property(address, (n) => {
        expect(parseIpv4(formatIpv4(n))).toBe(n);
      }),
    );
    const check = (n: number, prefixLength: number) => {
      const network = n - (n % 2 ** (32 - prefixLength));
      expect(parseIpv4Cidr(formatIpv4Cidr({ network, prefixLength }))).toMatchObject({
        network,
        prefixLength,
      });
    };
    fc.assert(fc.property(address, fc.integer({ min: 0, max: 32 }), check));
  });

  it('is read from its canonical text only', () => {
    const digits = fc.string({ unit: fc.constantFrom(...'0123456789./ ٣３xe-+\n'), maxLength: 20 });
    const check = (text: string) => {
      const address = attempt(() => parseIpv4(text));
      if (address !== undefined) expect(formatIpv4(address)).toBe(text);
      const cidr = attempt(() => parseIpv4Cidr(text));
      if (cidr !== undefined) expect(formatIpv4Cidr(cidr)).toBe(text);
    };
    fc.assert(fc.property(fc.oneof(digits, fc.ipV4Extended(), fc.ipV4()), check), { numRuns: 20_000 });
  });
});
