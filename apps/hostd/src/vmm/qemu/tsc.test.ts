import { describe, expect, it } from 'vitest';
import { parseTscKhz } from './tsc.js';

const cpuInfo = (flags: string, mhz: string): string => `cpu MHz\t\t: ${mhz}\nflags\t\t: fpu ${flags}\n`;

describe('parseTscKhz', () => {
  it('is the frequency of a constant counter', () => {
    expect(parseTscKhz(cpuInfo('constant_tsc hypervisor', '2596.146'), false)).toBe(2_596_146);
  });

  it('is known in a virtual machine whose CPU does not say that its counter is constant', () => {
    expect(parseTscKhz(cpuInfo('tsc hypervisor', '2596.146'), false)).toBe(2_596_146);
  });

  it.each([
    ['a counter that changes its pace', cpuInfo('tsc', '2596.146'), false],
    ['a CPU whose frequency is scaled', cpuInfo('constant_tsc', '800.000'), true],
    ['no frequency', 'flags\t\t: constant_tsc\n', false],
    ['nonsense', cpuInfo('constant_tsc', '0.000'), false],
    ['another form', cpuInfo('constant_tsc', '2596'), false],
    ['nothing', '', false],
  ])('is unknown with %s', (_, text, scaling) => {
    expect(parseTscKhz(text, scaling)).toBeNull();
  });
});
