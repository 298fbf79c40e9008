import { describe, expect, it } from 'vitest';
import { findDeviation } from './process-identity.js';

describe('findDeviation', () => {
  const confined: Record<string, string> = {
    Name: 'qemu-system-x86',
    Uid: '1001\t1001\t1001\t1001',
    Gid: '1002\t1002\t1002\t1002',
    Groups: '1002 ',
    CapInh: '0000000000000000',
    CapPrm: '0000000000000000',
    CapEff: '0000000000000000',
    CapBnd: '000001ffffffffff',
    CapAmb: '0000000000000000',
    NoNewPrivs: '1',
    Seccomp: '2',
    Seccomp_filters: '1',
  };
  const text = (changes: Record<string, string> = {}): string =>
    Object.entries({ ...confined, ...changes })
      .map(([name, value]) => `${name}:\t${value}\n`)
      .join('');
  const ids = { uid: 1001, gid: 1002 };

  it('is null for a confined process', () => {
    expect(findDeviation(text(), ids)).toBeNull();
  });

  it.each([
    ['Uid', '1001\t0\t1001\t1001'],
    ['Gid', '0\t0\t0\t0'],
    ['Groups', '0 1002'],
    ['Groups', ''],
    ['CapEff', '0000000000000001'],
    ['CapPrm', '0000000000200000'],
    ['CapInh', '0000000000000001'],
    ['CapAmb', '0000000000000001'],
    ['NoNewPrivs', '0'],
    ['Seccomp', '0'],
  ])('names %s that is %j', (name, value) => {
    expect(findDeviation(text({ [name]: value }), ids)).toContain(name);
  });

  it('names what is missing altogether', () => {
    expect(findDeviation('', ids)).toContain('unknown');
  });
});
